// The list of events.

import { get } from "./api.js";
import * as filters from "./filters.js";
import { WORDS, copyOf, percent } from "./words.js";

const A_PAGE = 10;

const list = document.getElementById("events");
const empty = document.getElementById("events-empty");
const older = document.getElementById("older");

let shown = []; // newest first
let next = null;
let most = A_PAGE; // rows that are kept when new ones come
let cut = false; // whether rows were dropped for new ones, so that the cursor is too far on
let question = 0;

/** Fetches the newest events anew. */
export async function refresh() {
  const mine = ++question;
  list.setAttribute("aria-busy", "true");
  try {
    const page = await get("/v1/events", { ...query(), limit: A_PAGE });
    if (mine !== question) return;
    shown = page.events;
    next = page.next;
    most = A_PAGE;
    cut = false;
    render();
  } finally {
    if (mine === question) list.removeAttribute("aria-busy");
  }
}

async function more() {
  const mine = question;
  older.disabled = true;
  try {
    const place = shown.length;
    const wanted = cut ? { limit: Math.min(1000, place + 2 * A_PAGE) } : { limit: 2 * A_PAGE, after: next };
    const page = await get("/v1/events", { ...query(), ...wanted });
    if (mine !== question) return;
    const known = new Set(shown.map((event) => event.id));
    shown.push(...page.events.filter((event) => !known.has(event.id)));
    shown.sort((a, b) => b.time.localeCompare(a.time));
    most = shown.length;
    next = page.next;
    cut = false;
    render();
    list.children[place]?.setAttribute("tabindex", "-1");
    list.children[place]?.focus();
  } finally {
    older.disabled = false;
  }
}

/** Adds an event that has just come, if it is asked for; whether it was. */
export function add(event) {
  if (!filters.matches(event) || shown.some((other) => other.id === event.id)) return false;
  const place = shown.findIndex((other) => other.time <= event.time);
  shown.splice(place < 0 ? shown.length : place, 0, event);
  if (shown.length > most) {
    shown.length = most;
    cut = true;
  }
  render();
  [...list.children].find((row) => row.dataset.id === event.id)?.classList.add("new");
  return true;
}

function query() {
  const { since, until, camera, types, label, violation } = filters.current();
  return { since, until, camera, type: types, label, violation };
}

function render() {
  const rows = new Map([...list.querySelectorAll(".event")].map((row) => [row.dataset.id, row]));
  list.replaceChildren(...shown.map((event) => rows.get(event.id) ?? rowOf(event)));
  for (const row of list.children) row.classList.remove("new");
  empty.hidden = shown.length > 0;
  empty.textContent = "No event matches the filters. New ones show here by themselves.";
  older.hidden = next === null && !cut;
  tick();
}

function rowOf(event) {
  const row = copyOf("event-row");
  row.dataset.id = event.id;
  const of = event.track !== null;
  if (of) row.dataset.label = event.label;
  if (event.type === "track.ended") row.dataset.gone = "";
  const icon = of ? event.label : event.type === "camera.online" ? "online" : "offline";
  row.querySelector("use").setAttribute("href", `#icon-${icon}`);
  row.querySelector(".what").textContent = whatOf(event);
  const sure = event.confidence === null ? "" : percent(event.confidence);
  const parts = of ? [event.camera, event.zone, sure] : [event.camera];
  row.querySelector(".where").textContent = parts.filter(Boolean).join(" · ");
  const time = row.querySelector("time");
  time.dateTime = event.time;
  time.textContent = clockText(new Date(event.time));
  return row;
}

/** What happened, in words. */
export function whatOf(event) {
  const word = event.label && WORDS[event.label];
  switch (event.type) {
    case "track.confirmed":
      return word;
    case "track.changed":
      return `Now: ${word.toLowerCase()}`;
    case "track.ended":
      return `Gone, last: ${word.toLowerCase()}`;
    case "camera.online":
      return "Camera online";
    case "camera.offline":
      return "Camera offline";
    default:
      return event.type;
  }
}

export function clockText(date, now = new Date()) {
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  if (date.toDateString() === now.toDateString()) return time;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time.slice(0, 5)}`;
}

/** "8 s ago". */
export function agoText(date, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - date) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "1 day ago" : `${days} days ago`;
}

function tick() {
  for (const row of list.querySelectorAll(".event")) {
    row.querySelector(".ago").textContent = agoText(new Date(row.querySelector("time").dateTime));
  }
}

older.addEventListener("click", () => more().catch(() => {}));
setInterval(tick, 5_000);
