// The filters of the dashboard: in its form, in its address, and in questions to the service.

import { WORDS } from "./words.js";

const HOUR = 3_600_000;
const SPANS = { "1h": HOUR, "8h": 8 * HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR };
const TYPES = { "": ["track.confirmed", "track.changed", "camera.online", "camera.offline"], all: [] };
const NAMES = ["span", "since", "until", "camera", "type", "label"];
const LONGEST_BY_HOUR = 72 * HOUR;

const form = document.getElementById("filter-form");

/** Takes the filters from the page's address; calls `changed` whenever somebody changes one. */
export function start(changed) {
  const query = new URLSearchParams(location.search);
  for (const name of NAMES) {
    const value = query.get(name);
    if (value === null) continue;
    // cameras are not known yet
    if (name === "camera" && value) addCamera(value);
    form.elements[name].value = value;
    if (form.elements[name].value !== value) form.elements[name].selectedIndex = 0;
  }
  if (!form.span.value) form.span.value = "24h";
  fillSince();
  tell();
  form.addEventListener("change", () => {
    fillSince();
    tell();
    changed();
  });
  form.addEventListener("reset", () => {
    // the values are reset after this event
    setTimeout(() => {
      tell();
      changed();
    });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
}

function fillSince() {
  if (form.span.value === "own" && !form.since.value) {
    form.since.value = localText(new Date(Date.now() - 24 * HOUR));
  }
}

export function knowCameras(names) {
  for (const name of names) addCamera(name);
}

function addCamera(name) {
  if (![...form.camera.options].some((option) => option.value === name)) form.camera.add(new Option(name, name));
}

/** What is asked for: times as texts in UTC, and the rest as it is in the form. */
export function current() {
  const { span, since, until, camera, type, label } = form;
  let from = new Date(Date.now() - (SPANS[span.value] ?? 24 * HOUR));
  let to = null;
  if (span.value === "own") {
    from = since.value ? new Date(since.value) : new Date(Date.now() - 24 * HOUR);
    to = until.value ? new Date(until.value) : null;
  }
  return {
    since: from.toISOString(),
    until: to?.toISOString() ?? null,
    camera: camera.value,
    types: TYPES[type.value] ?? [type.value],
    label: label.value === "violation" ? "" : label.value,
    violation: label.value === "violation" ? true : null,
    interval: (to ?? new Date()) - from > LONGEST_BY_HOUR ? "day" : "hour",
  };
}

/** Whether an event that has just come is among what is asked for. */
export function matches(event, wanted = current()) {
  return (
    event.time >= wanted.since &&
    (!wanted.until || event.time < wanted.until) &&
    (!wanted.camera || event.camera === wanted.camera) &&
    (!wanted.types.length || wanted.types.includes(event.type)) &&
    (!wanted.label || event.label === wanted.label) &&
    (wanted.violation === null || event.violation === wanted.violation)
  );
}

/** Shows in words and in the page's address what is chosen. */
function tell() {
  const own = form.span.value === "own";
  for (const field of form.querySelectorAll(".own")) field.hidden = !own;
  const query = new URLSearchParams();
  for (const name of NAMES) {
    const { value } = form.elements[name];
    const usual = name === "span" ? "24h" : "";
    if (value !== usual && (own || !["since", "until"].includes(name))) query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  const words = [
    own ? spanWords() : form.span.selectedOptions[0].text,
    form.camera.value || "all cameras",
    form.type.value && form.type.selectedOptions[0].text.toLowerCase(),
    form.label.value && (WORDS[form.label.value] ?? "violations").toLowerCase(),
  ];
  document.getElementById("filters-words").textContent = words.filter(Boolean).join(", ");
}

function spanWords() {
  const show = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const from = form.since.value ? `From ${show(form.since.value)}` : "From yesterday";
  return form.until.value ? `${from} to ${show(form.until.value)}` : from;
}

function localText(date) {
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
