// Words and numbers as people read them.

export const LABELS = ["mask", "incorrect", "no_mask"];

export const WORDS = { mask: "Mask", incorrect: "Worn wrongly", no_mask: "No mask" };

/** Whole per cent, without claiming certainty that rounding alone would give. */
export function percent(share) {
  if (share > 0.99) return share === 1 ? "100\u00a0%" : ">\u00a099\u00a0%";
  if (share > 0 && share < 0.01) return "<\u00a01\u00a0%";
  return `${Math.round(share * 100)}\u00a0%`;
}

/** "1 face", "3 faces". */
export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** Puts text and the icon of a label into a copy of the tag's markup. */
export function fillTag(tag, label, text) {
  tag.dataset.label = label;
  tag.querySelector("use").setAttribute("href", `#icon-${label}`);
  tag.querySelector(".word").textContent = text;
  return tag;
}

/** The first element in a copy of a <template>. */
export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}
