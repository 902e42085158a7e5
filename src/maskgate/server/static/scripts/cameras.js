// The list of cameras with their state.

import { agoText, clockText } from "./events.js";
import { copyOf, plural } from "./words.js";

const STATES = { online: "Online", offline: "Offline", never: "Not seen yet" };
const ICONS = { online: "online", offline: "offline", never: "unknown" };

const list = document.getElementById("cameras");

export function render(cameras) {
  document.getElementById("cameras-empty").hidden = cameras.length > 0;
  list.replaceChildren(...cameras.map(rowOf));
  list.removeAttribute("aria-busy");
}

function rowOf(camera) {
  const row = copyOf("camera-row");
  row.dataset.state = camera.state;
  row.querySelector("use").setAttribute("href", `#icon-${ICONS[camera.state]}`);
  row.querySelector(".name").textContent = camera.name;
  const since = camera.since && camera.state !== "never" ? ` since ${clockText(new Date(camera.since))}` : "";
  row.querySelector(".state").textContent = STATES[camera.state] + since;
  const frames = camera.frames;
  const facts = [
    camera.last_event && `last event ${agoText(new Date(camera.last_event))}`,
    frames && `${plural(frames.processed, "picture")} looked at`,
    frames && frames.skipped > 0 && `${frames.skipped.toLocaleString()} skipped`,
    camera.address,
  ];
  row.querySelector(".more").textContent = facts.filter(Boolean).join(" · ");
  return row;
}
