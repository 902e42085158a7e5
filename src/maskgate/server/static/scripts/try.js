// The page to try it: a picture goes to the service, its faces come back.

import { ask, showProblem } from "./api.js";
import { takePicture } from "./camera.js";
import { draw, faceAt } from "./drawing.js";
import { LABELS, WORDS, copyOf, fillTag, percent, plural } from "./words.js";

const element = (id) => document.getElementById(id);
const picker = element("picker");
const canvas = element("canvas");
const messages = element("messages");
const said = element("said");

let shown = null; // { name, picture, text, answer } of the picture on the page
let running = null; // AbortController of the request in flight
let chosen = -1;

async function look(file) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  messages.replaceChildren(copyOf("busy"));
  said.textContent = "Looking for faces";
  element("result").setAttribute("aria-busy", "true");
  try {
    const form = new FormData();
    form.append("image", file, file.name || "picture");
    const [response, picture] = await Promise.all([
      ask("/v1/detect", { method: "POST", body: form, signal: mine.signal }),
      pictureOf(file),
    ]);
    const text = await response.text();
    if (mine.signal.aborted) return;
    const answer = JSON.parse(text);
    if (answer.error) throw { title: "This picture cannot be read", detail: answer.error, advice: "" };
    shown?.picture?.close();
    shown = { name: file.name || "picture", picture, text, answer };
    messages.replaceChildren();
    show();
  } catch (problem) {
    if (mine.signal.aborted) return;
    said.textContent = "";
    clear();
    showProblem(messages, problem);
  } finally {
    if (running === mine) {
      running = null;
      element("result").removeAttribute("aria-busy");
    }
  }
}

/** The file as the browser decodes it, turned upright; null where it cannot (TIFF). */
async function pictureOf(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

function clear() {
  shown?.picture?.close();
  shown = null;
  chosen = -1;
  element("result").hidden = true;
  picker.classList.remove("small");
  element("invitation").textContent = "Drop a picture here";
}

function show() {
  const { name, answer, picture } = shown;
  chosen = -1;
  const counts = LABELS.map((label) => [label, answer.faces.filter((face) => face.label === label).length]);
  const summary = answer.faces.length ? plural(answer.faces.length, "face") : "No face found";
  element("summary").textContent = summary;
  element("nothing").hidden = answer.faces.length > 0;
  element("faces").hidden = answer.faces.length === 0;
  element("counts").replaceChildren(
    ...counts.filter(([, count]) => count > 0).map(([label, count]) =>
      fillTag(copyOf("count-tag"), label, `${count} ${WORDS[label].toLowerCase()}`)),
  );
  element("counts").hidden = answer.faces.length === 0;
  element("faces").tBodies[0].replaceChildren(...answer.faces.map(rowOf));
  element("name").textContent = name;
  element("size").textContent = `${answer.width} × ${answer.height} pixels`;
  const steps = answer.milliseconds;
  const total = Object.values(steps).reduce((sum, ms) => sum + ms, 0);
  const parts = Object.entries(steps).map(([step, ms]) => `${step} ${ms.toFixed(0)}`).join(", ");
  element("time").textContent = `${total.toFixed(0)} ms (${parts})`;
  element("result").classList.toggle("wide", answer.width > 2 * answer.height);
  element("result").hidden = false;
  picker.classList.add("small");
  element("invitation").textContent = "Drop another picture";
  const words = counts.filter(([, count]) => count).map(([label, count]) => `${count} ${WORDS[label].toLowerCase()}`);
  const missing = picture ? "" : " This browser cannot show the file itself.";
  canvas.setAttribute("aria-label", `The picture with its faces: ${words.join(", ") || "none"}.${missing}`);
  redraw();
  said.textContent = [summary, ...words].join(", ");
  element("summary").focus({ preventScroll: true });
  const top = element("result").getBoundingClientRect().top;
  if (top > innerHeight * 0.6 || top < 0) element("result").scrollIntoView({ block: "start" });
}

function rowOf(face, index) {
  const row = copyOf("face-row");
  const number = row.querySelector(".number");
  number.textContent = String(index + 1);
  number.setAttribute("aria-label", `Face ${index + 1}, show it in the picture`);
  number.addEventListener("click", () => choose(chosen === index ? -1 : index));
  fillTag(row.querySelector(".tag"), face.label, WORDS[face.label]);
  row.querySelector(".uncertain").hidden = !face.uncertain;
  row.querySelector(".shares").replaceChildren(
    ...LABELS.map((label) => {
      const share = copyOf("share-row");
      share.querySelector(".word").textContent = WORDS[label];
      share.querySelector("i").style.width = `${face.probabilities[label] * 100}%`;
      share.querySelector(".value").textContent = percent(face.probabilities[label]);
      if (label === face.label) share.dataset.chosen = "";
      return share;
    }),
  );
  return row;
}

function choose(index) {
  chosen = index;
  element("faces").querySelectorAll(".number").forEach((button, place) => {
    button.setAttribute("aria-pressed", String(place === index));
  });
  redraw();
}

function redraw() {
  draw(canvas, shown.picture, shown.answer, chosen, canvas.clientWidth);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function stem() {
  return shown.name.replace(/\.[^.]*$/, "") || "picture";
}

function first(files) {
  const [file] = files;
  if (file) look(file);
}

element("file").addEventListener("change", ({ target }) => {
  first(target.files);
  target.value = ""; // the same file can be chosen again
});

element("example").addEventListener("click", async ({ currentTarget }) => {
  try {
    const response = await ask(currentTarget.dataset.picture, { cache: "default" });
    look(new File([await response.blob()], "example.jpg", { type: "image/jpeg" }));
  } catch (problem) {
    showProblem(messages, problem);
  }
});

element("camera-open").addEventListener("click", async () => {
  try {
    const file = await takePicture();
    if (file) look(file);
  } catch (problem) {
    showProblem(messages, problem);
  }
});

// letters keep their size on the page
let width = innerWidth;
addEventListener("resize", () => {
  if (shown && innerWidth !== width) redraw();
  width = innerWidth;
});

element("download-json").addEventListener("click", () => {
  save(new Blob([shown.text], { type: "application/json" }), `${stem()}.json`);
});

element("download-picture").addEventListener("click", () => {
  draw(canvas, shown.picture, shown.answer);
  canvas.toBlob((blob) => save(blob, `${stem()}-drawn.jpg`), "image/jpeg", 0.92);
  redraw();
});

canvas.addEventListener("click", (event) => {
  const place = canvas.getBoundingClientRect();
  const { width, height } = shown.answer;
  // the canvas keeps its proportions within its place
  const fit = Math.min(place.width / width, place.height / height);
  const x = (event.clientX - place.left - (place.width - width * fit) / 2) / fit;
  const y = (event.clientY - place.top - (place.height - height * fit) / 2) / fit;
  const index = faceAt(shown.answer, x, y);
  choose(index === chosen ? -1 : index);
});

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) {
    event.preventDefault();
    first(files);
  }
});

// the whole page takes what is dropped, so that a near miss does not leave it
let depth = 0;
const dragsFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => {
  if (!dragsFiles(event)) return;
  depth += 1;
  document.body.classList.add("dragged");
});
addEventListener("dragleave", (event) => {
  if (!dragsFiles(event)) return;
  depth = Math.max(0, depth - 1);
  if (!depth) document.body.classList.remove("dragged");
});
addEventListener("dragover", (event) => {
  if (dragsFiles(event)) event.preventDefault();
});
addEventListener("drop", (event) => {
  depth = 0;
  document.body.classList.remove("dragged");
  if (!dragsFiles(event)) return;
  event.preventDefault();
  first(event.dataTransfer.files);
});

picker.addEventListener("submit", (event) => event.preventDefault());
