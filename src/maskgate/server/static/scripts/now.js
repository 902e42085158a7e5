// What is going on at this moment: faces in violation that have not gone, and cameras that see nothing.

import { WORDS, plural } from "./words.js";

/** Keeps count of the faces in violation, event by event. */
export class Violations {
  #open = new Map();
  #seen = new Map(); // time of the newest event of each face and each camera: those that come late change nothing

  apply(event) {
    const of = event.track === null ? event.camera : `${event.camera}\n${event.track}`;
    if (event.time < (this.#seen.get(of) ?? "") || event.time < (this.#seen.get(event.camera) ?? "")) return;
    this.#seen.set(of, event.time);
    if (event.track === null) {
      // a camera that went away, or came back, has lost sight of everybody
      for (const [key, { camera }] of this.#open) if (camera === event.camera) this.#open.delete(key);
    } else if (event.violation && event.type !== "track.ended") {
      this.#open.set(of, event);
    } else {
      this.#open.delete(of);
      if (event.type === "track.ended") setTimeout(() => this.#seen.delete(of), 60_000);
    }
  }

  /** Newest first. */
  get open() {
    return [...this.#open.values()].sort((a, b) => b.time.localeCompare(a.time));
  }
}

/** The large card: its state, icon, title, sentence, and which cameras see nothing. */
export function describe(open, cameras, link, readable = true) {
  if (link === "lost") {
    return card("lost", "warning", "Connection lost", "Nothing new can be seen here until it is back.");
  }
  if (!readable) return card("lost", "warning", "Events cannot be read", "The message below says why.");
  if (cameras === null) return card("waiting", "unknown", "One moment …", "Asking the service what is going on.");
  const offline = cameras.filter((camera) => camera.state === "offline").map((camera) => camera.name);
  const online = cameras.filter((camera) => camera.state === "online").length;
  const blind = offline.length ? `${plural(offline.length, "camera")} offline: ${offline.join(", ")}` : "";
  if (open.length === 1) {
    const [event] = open;
    const where = event.zone ? `${event.camera}, ${event.zone}` : event.camera;
    return card(event.label, event.label, WORDS[event.label], where, blind);
  }
  if (open.length > 1) {
    const state = open.some((event) => event.label === "no_mask") ? "no_mask" : "incorrect";
    const places = new Map();
    for (const { camera } of open) places.set(camera, (places.get(camera) ?? 0) + 1);
    const where = [...places].map(([camera, count]) => `${camera} ${count}`).join(", ");
    return card(state, state, plural(open.length, "violation"), where, blind);
  }
  if (!cameras.length) return card("waiting", "unknown", "Nothing to watch yet", "No camera has been seen so far.");
  if (!online) return card("lost", "warning", "No camera is online", "Nobody is watched just now.", blind);
  return card("quiet", "quiet", "All clear", `No violation in sight of ${plural(online, "camera")}`, blind);
}

function card(state, icon, title, detail, blind = "") {
  return { state, icon, title, detail, blind };
}
