// Charts in SVG, and their tables. Each label has a colour and a pattern.

import { LABELS, WORDS, percent, plural } from "./words.js";

const NS = "http://www.w3.org/2000/svg";
const STEP = { hour: 3_600_000, day: 86_400_000 };

/** Sums over cameras for each interval of the span, those without faces included: [{ start, ...sums }]. */
export function byTime({ interval, since, until, intervals }) {
  const step = STEP[interval];
  const sums = new Map();
  for (const one of intervals) add(sums, Date.parse(one.start), one);
  const first = Math.floor(Date.parse(since) / step) * step;
  const rows = [];
  for (let start = first; start < Date.parse(until) && rows.length < 1000; start += step) {
    rows.push({ start: new Date(start), ...(sums.get(start) ?? nothing()) });
  }
  return rows;
}

/** Sums over time for each camera: [{ camera, ...sums }]. */
export function byCamera({ intervals }) {
  const sums = new Map();
  for (const one of intervals) add(sums, one.camera, one);
  const rows = [...sums].map(([camera, sum]) => ({ camera, ...sum })).filter((row) => row.faces > 0);
  return rows.sort((a, b) => a.camera.localeCompare(b.camera));
}

/** The sum of all: faces, good ones, violations and the three labels. */
export function total({ intervals }) {
  const sums = new Map();
  for (const one of intervals) add(sums, "all", one);
  return sums.get("all") ?? nothing();
}

function nothing() {
  return { faces: 0, good: 0, violations: 0, mask: 0, incorrect: 0, no_mask: 0 };
}

function add(sums, key, { tracks, compliance, violations }) {
  const sum = sums.get(key) ?? nothing();
  const faces = LABELS.reduce((count, label) => count + tracks[label], 0);
  for (const label of LABELS) sum[label] += tracks[label];
  sum.faces += faces;
  sum.good += Math.round((compliance ?? 0) * faces);
  sum.violations += violations;
  sums.set(key, sum);
}

export function intervalText(start, interval) {
  if (interval === "hour") return start.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return start.toLocaleDateString([], { day: "numeric", month: "short", timeZone: "UTC" });
}

/** Shares as a line above, counts as columns below. */
export function drawTimes(place, rows, interval) {
  const width = Math.max(280, place.clientWidth);
  const [left, right, top, trend, between, columns] = [52, 8, 30, 140, 52, 84];
  const height = top + trend + between + columns + 26;
  const svg = picture(width, height, describeTimes(rows, interval));
  const step = (width - left - right) / rows.length;
  const x = (index) => left + step * (index + 0.5);
  const y = (share) => top + trend * (1 - share);
  for (const share of [0, 0.5, 1]) {
    svg.append(make("line", { class: "grid", x1: left, x2: width - right, y1: y(share), y2: y(share) }));
    svg.append(text(left - 8, y(share) + 5, `${share * 100} %`, { class: "weak", "text-anchor": "end" }));
  }
  svg.append(text(0, 14, "Worn rightly", { class: "strong" }));
  svg.append(text(0, top + trend + 36, "Faces", { class: "strong" }));
  const base = top + trend + between + columns;
  const most = Math.max(1, ...rows.map((row) => row.faces));
  svg.append(make("line", { class: "grid", x1: left, x2: width - right, y1: base - columns, y2: base - columns }));
  svg.append(text(left - 8, base - columns + 5, most.toLocaleString(), { class: "weak", "text-anchor": "end" }));
  svg.append(text(left - 8, base + 1, "0", { class: "weak", "text-anchor": "end" }));
  svg.append(make("line", { class: "base", x1: left, x2: width - right, y1: base, y2: base }));
  const bar = Math.max(2, Math.min(44, step * 0.72));
  rows.forEach((row, index) => {
    let bottom = base;
    const group = make("g");
    for (const label of LABELS) {
      const tall = (columns * row[label]) / most;
      if (!tall) continue;
      bottom -= tall;
      part(group, label, x(index) - bar / 2, bottom, bar, tall);
    }
    title(group, sentence(intervalText(row.start, interval), row));
    svg.append(group);
  });
  const known = rows.map((row, index) => ({ ...row, index })).filter((row) => row.faces > 0);
  let path = "";
  known.forEach((row, place) => {
    const joined = place > 0 && known[place - 1].index === row.index - 1;
    path += `${joined ? "L" : "M"}${x(row.index).toFixed(1)} ${y(row.good / row.faces).toFixed(1)}`;
  });
  if (path) svg.append(make("path", { class: "trend", d: path }));
  for (const row of known) {
    const dot = make("circle", { class: "dot", cx: x(row.index), cy: y(row.good / row.faces), r: step < 14 ? 2.5 : 4.5 });
    title(dot, sentence(intervalText(row.start, interval), row));
    svg.append(dot);
  }
  const every = Math.ceil(rows.length / Math.max(2, Math.floor((width - left) / 74)));
  rows.forEach((row, index) => {
    if ((rows.length - 1 - index) % every) return;
    const anchor = x(index) > width - 26 ? "end" : "middle";
    const at = anchor === "end" ? width : x(index);
    svg.append(text(at, base + 20, intervalText(row.start, interval), { class: "weak", "text-anchor": anchor }));
  });
  place.replaceChildren(svg);
}

/** One bar of shares for each camera. */
export function drawCameras(place, rows) {
  const width = Math.max(240, place.clientWidth);
  const [row, bar] = [62, 22];
  const spoken = rows.map((one) => sentence(one.camera, one)).join(" ");
  const svg = picture(width, rows.length * row, `Masks worn rightly by camera. ${spoken}`);
  rows.forEach((one, index) => {
    const top = index * row;
    svg.append(text(0, top + 18, shortened(one.camera, width), { class: "strong" }));
    const end = text(width, top + 18, percent(one.good / one.faces), { class: "strong", "text-anchor": "end" });
    svg.append(end);
    const group = make("g");
    let left = 0;
    for (const label of LABELS) {
      const long = (width * one[label]) / one.faces;
      if (long) part(group, label, left, top + 27, long, bar);
      left += long;
    }
    title(group, sentence(one.camera, one));
    svg.append(group);
  });
  place.replaceChildren(svg);
}

/** The same as a table; `first` is the heading of its first column, `name` gives a row's. */
export function fillTable(table, caption, first, rows, name) {
  const heads = [first, "Worn rightly", "Faces", ...LABELS.map((label) => WORDS[label])];
  const head = table.createTHead();
  head.replaceChildren();
  const line = head.insertRow();
  heads.forEach((words, index) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = words;
    if (index) cell.className = "figure";
    line.append(cell);
  });
  const body = table.tBodies[0] ?? table.createTBody();
  body.replaceChildren();
  for (const row of rows) {
    const line = body.insertRow();
    const cell = document.createElement("th");
    cell.scope = "row";
    cell.textContent = name(row);
    line.append(cell);
    const share = row.faces ? percent(row.good / row.faces) : "–";
    for (const value of [share, row.faces, ...LABELS.map((label) => row[label])]) {
      const cell = line.insertCell();
      cell.className = "figure";
      cell.textContent = value.toLocaleString();
    }
  }
  const words = table.caption ?? table.createCaption();
  words.className = "unseen";
  words.textContent = caption;
}

function sentence(name, row) {
  if (!row.faces) return `${name}: no face.`;
  const parts = LABELS.filter((label) => row[label]).map((label) => `${row[label]} ${WORDS[label].toLowerCase()}`);
  return `${name}: ${percent(row.good / row.faces)} of ${plural(row.faces, "face")} (${parts.join(", ")}).`;
}

function describeTimes(rows, interval) {
  const known = rows.filter((row) => row.faces);
  if (!known.length) return `Masks worn rightly by ${interval}: no face.`;
  const shares = known.map((row) => row.good / row.faces);
  const last = known[known.length - 1];
  return (
    `Masks worn rightly by ${interval}, between ${percent(Math.min(...shares))} and ${percent(Math.max(...shares))}. ` +
    `Last ${interval} with faces: ${sentence(intervalText(last.start, interval), last)} The table below has all values.`
  );
}

function picture(width, height, words) {
  return make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
}

function part(group, label, x, y, width, height) {
  const place = { class: `fill-${label}`, x, y, width, height };
  group.append(make("rect", place));
  // the patterns stand with the icons
  if (label !== "mask") group.append(make("rect", { ...place, class: "", fill: `url(#pattern-${label})` }));
}

function shortened(name, width) {
  const most = Math.floor((width - 70) / 9);
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

function make(name, attributes = {}) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function text(x, y, words, attributes) {
  const element = make("text", { x, y, ...attributes });
  element.textContent = words;
  return element;
}

function title(element, words) {
  const child = make("title");
  child.textContent = words;
  element.prepend(child);
}
