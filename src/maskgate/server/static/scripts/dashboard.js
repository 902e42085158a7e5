// The dashboard: the state of things now, events as they happen, figures, cameras and charts.

import { Problem, get, showProblem } from "./api.js";
import * as cameraList from "./cameras.js";
import * as charts from "./charts.js";
import * as eventList from "./events.js";
import * as filters from "./filters.js";
import { follow } from "./live.js";
import { Violations, describe } from "./now.js";
import { percent, plural } from "./words.js";

const REFRESH_MS = 60_000;
const SETTLE_MS = 2_000;
const SPEAK_MS = 4_000;
const LOOK_BACK_MS = 12 * 3_600_000;
const MOST_A_PAGE = 1000;
const MOST_PAGES = 5;

const element = (id) => document.getElementById(id);
const messages = element("messages");

const violations = new Violations();
let cameras = null;
let link = "connecting";
let readable = true;
let statistics = null;
let question = 0;

/* the large card */

function showNow() {
  const open = violations.open;
  const { state, icon, title, detail, blind } = describe(open, cameras, link, readable);
  const now = element("now");
  now.dataset.state = state;
  now.querySelector("#now-icon use").setAttribute("href", `#icon-${icon}`);
  // only what has changed is written, so that nothing flickers and selections stay
  if (element("now-title").textContent !== title) element("now-title").textContent = title;
  if (element("now-detail").textContent !== detail) element("now-detail").textContent = detail;
  element("now-blind").hidden = !blind;
  element("now-blind").querySelector("span").textContent = blind;
  document.title = `${open.length ? `(${open.length}) ` : ""}Dashboard · maskgate`;
}

function showLink(state, seconds) {
  const was = link;
  link = state === "connecting" && was === "lost" ? "lost" : state;
  element("link").dataset.state = link;
  const words = { connecting: "Connecting", live: "Live", lost: `Lost, next try in ${plural(seconds, "second")}` };
  element("link-words").textContent = state === "connecting" && was === "lost" ? "Trying again" : words[state];
  if (link !== was) {
    if (link === "lost") say("Connection lost");
    if (link === "live" && was === "lost") say("Connection is back");
    // what happened meanwhile; also at the start, as events may come between the first look and the stream
    if (link === "live") refresh();
    showNow();
  }
}

/* figures, cameras, charts */

/** All of it: at the start, when filters change, and when a lost connection is back. */
async function refresh() {
  await Promise.all([refreshFigures(), quietly(eventList.refresh()), quietly(lookBack())]);
  showNow();
}

/** Figures, cameras and charts; the list of events keeps itself up to date. */
async function refreshFigures() {
  const mine = ++question;
  const { since, until, camera, interval } = filters.current();
  try {
    const [known, counted] = await Promise.all([
      get("/v1/cameras"),
      get("/v1/statistics", { since, until, camera, interval }),
    ]);
    if (mine !== question) return;
    cameras = known.cameras;
    statistics = counted;
    readable = true;
    messages.replaceChildren();
    filters.knowCameras(cameras.map((one) => one.name));
    cameraList.render(cameras);
    showFigures();
    drawCharts();
  } catch (problem) {
    if (mine !== question) return;
    fail(problem);
  }
  showNow();
}

function fail(problem) {
  // a lost connection is told by the large card already
  if (problem.status === 0) return;
  readable = false;
  showProblem(messages, problem);
  for (const ghost of document.querySelectorAll(".ghost")) ghost.remove();
}

/** What fails here fails for the figures as well, and is told there. */
async function quietly(question) {
  try {
    await question;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
  }
}

/** Faces that were in violation before this page was opened, or while the connection was lost. */
async function lookBack() {
  const since = new Date(Date.now() - LOOK_BACK_MS).toISOString();
  const found = [];
  let after = null;
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const page = await get("/v1/events", { since, limit: MOST_A_PAGE, after });
    found.push(...page.events);
    after = page.next;
    if (after === null) break;
  }
  // in the order in which they happened
  for (const event of found.reverse()) violations.apply(event);
}

function showFigures() {
  const sum = charts.total(statistics);
  element("figure-share").textContent = sum.faces ? percent(sum.good / sum.faces) : "–";
  element("figure-share-of").textContent = sum.faces ? `${sum.good.toLocaleString()} of ${plural(sum.faces, "face")}` : "no face yet";
  element("figure-faces").textContent = sum.faces.toLocaleString();
  element("figure-faces-of").textContent = "followed and confirmed";
  element("figure-violations").textContent = sum.violations.toLocaleString();
  element("figure-violations-of").textContent = "told in this time";
  const online = cameras.filter((camera) => camera.state === "online").length;
  element("figure-cameras").textContent = cameras.length ? `${online} / ${cameras.length}` : "–";
  const offline = cameras.filter((camera) => camera.state === "offline").length;
  element("figure-cameras-of").textContent = offline ? `${offline} offline` : cameras.length ? "none is offline" : "none known";
}

let drawn = ""; // what the charts show

function drawCharts() {
  if (!statistics) return;
  const { interval } = statistics;
  const times = charts.byTime(statistics);
  const places = charts.byCamera(statistics);
  // what stays as it is keeps its tooltips and its selected text
  const wanted = JSON.stringify([innerWidth, interval, times, places]);
  if (wanted === drawn) return;
  drawn = wanted;
  element("hours-title").textContent = `Masks worn rightly, by ${interval === "day" ? "day (UTC)" : "hour"}`;
  const any = places.length > 0;
  for (const id of ["hours", "by-camera"]) {
    element(id).hidden = !any;
    element(`${id}-empty`).hidden = any;
    element(id).parentElement.querySelector(".as-table").hidden = !any;
    element(id).parentElement.querySelector(".legend-line").hidden = !any;
  }
  if (!any) return;
  charts.drawTimes(element("hours"), times, interval);
  charts.drawCameras(element("by-camera"), places);
  const heading = interval === "day" ? "Day" : "Hour";
  charts.fillTable(element("hours-table"), "Faces by time", heading, times, (row) =>
    charts.intervalText(row.start, interval));
  charts.fillTable(element("by-camera-table"), "Faces by camera", "Camera", places, (row) => row.camera);
}

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) {
    width = innerWidth;
    drawCharts();
  }
});

/* what comes in */

let settling = 0;

function take(event) {
  violations.apply(event);
  const wanted = eventList.add(event);
  if (event.track === null && cameras) noteCamera(event);
  showNow();
  if (wanted && (event.violation || event.type === "camera.offline") && event.type !== "track.ended") {
    say(`${eventList.whatOf(event)}, ${event.camera}`);
  }
  if (!settling) settling = setTimeout(settle, SETTLE_MS);
}

function settle() {
  settling = 0;
  refreshFigures();
}

function noteCamera(event) {
  const state = event.type === "camera.online" ? "online" : "offline";
  const camera = cameras.find((one) => one.name === event.camera);
  if (camera) Object.assign(camera, { state, since: event.time, last_event: event.time });
  else cameras.push({ name: event.camera, state, since: event.time, last_event: event.time, frames: null, address: null });
  cameraList.render(cameras);
}

/* for screen readers: not more than they can say */

let waiting = [];
let speaking = 0;

function say(words) {
  waiting.push(words);
  if (speaking) return;
  speak();
}

function speak() {
  const [first] = waiting;
  element("said").textContent = waiting.length > 1 ? `${first}, and ${waiting.length - 1} more` : first;
  waiting = [];
  speaking = setTimeout(() => {
    speaking = 0;
    if (waiting.length) speak();
  }, SPEAK_MS);
}

function tick() {
  element("clock").textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

filters.start(refresh);
tick();
setInterval(tick, 1_000);
setInterval(refreshFigures, REFRESH_MS);
const heartbeat = Number(element("now").dataset.heartbeat);
follow("/v1/events/stream", { heartbeat, onEvent: take, onState: showLink });
refresh();
