// Draws a picture with its faces: boxes, numbers, words and probabilities.

import { WORDS, percent } from "./words.js";

const COLOURS = { mask: "#009e73", no_mask: "#d55e00", incorrect: "#f0e442" };
const INK = "#101010";
const SHORTEST = 1200; // small pictures are drawn larger, so that letters on them can be read
const LONGEST = 4096; // beyond, browsers give up on canvases

/**
 * Draws onto `canvas`, which takes the picture's proportions.
 *
 * picture: what drawImage takes; null where this browser cannot show the file's format.
 * answer: of the service, with width, height and faces.
 * chosen: index of the face that stands out; -1: none does.
 * shownWidth: of the canvas on the page, so that letters can be read there; 0: it is shown nowhere.
 */
export function draw(canvas, picture, answer, chosen = -1, shownWidth = 0) {
  const { width, height, faces } = answer;
  const long = Math.max(width, height);
  const scale = Math.min(Math.max(1, SHORTEST / long), LONGEST / long);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  if (picture) {
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  } else {
    context.fillStyle = "#7d8782";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  const reach = Math.sqrt(canvas.width * canvas.height);
  const line = Math.max(2, reach / 280);
  // the largest face is nearest and comes last, over the others; the chosen one over all
  const order = faces.map((_, index) => index);
  order.sort((a, b) => (a === chosen) - (b === chosen) || area(faces[a].box) - area(faces[b].box));
  const boxes = faces.map((face) => face.box.map((value) => value * scale));
  for (const index of order) {
    context.globalAlpha = chosen < 0 || chosen === index ? 1 : 0.45;
    drawBox(context, boxes[index], faces[index], index === chosen ? line * 1.8 : line);
  }
  const smallest = Math.max(reach / 54, shownWidth ? (12.5 * canvas.width) / shownWidth : 0);
  const taken = [];
  for (const index of [...order].reverse()) {
    context.globalAlpha = chosen < 0 || chosen === index ? 1 : 0.45;
    const others = boxes.filter((_, other) => other !== index);
    taken.push(drawTag(context, boxes[index], faces[index], index, smallest, line, others, taken));
  }
  context.globalAlpha = 1;
}

/** Index of the smallest face at a place of the picture, -1 where there is none. */
export function faceAt(answer, x, y) {
  let found = -1;
  answer.faces.forEach(({ box }, index) => {
    const inside = x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3];
    if (inside && (found < 0 || area(box) < area(answer.faces[found].box))) found = index;
  });
  return found;
}

function area([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

function drawBox(context, [x1, y1, x2, y2], face, line) {
  const half = line / 2 + 1;
  const left = Math.max(x1, half);
  const top = Math.max(y1, half);
  const right = Math.min(x2, context.canvas.width - half);
  const bottom = Math.min(y2, context.canvas.height - half);
  const outline = new Path2D();
  outline.roundRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top), line * 3);
  context.setLineDash(face.uncertain ? [line * 4, line * 3] : []);
  for (const [colour, width] of [[INK, line + 2], [COLOURS[face.label], line]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(outline);
  }
  context.setLineDash([]);
}

function drawTag(context, box, face, index, smallest, line, others, taken) {
  const { width: w, height: h } = context.canvas;
  const share = face.probabilities[face.label];
  const words = [
    `${index + 1}  ${WORDS[face.label]}${face.uncertain ? "?" : ""} ${percent(share)}`,
    `${index + 1}  ${percent(share)}`,
    `${index + 1}`,
  ];
  const size = Math.min(Math.max((box[3] - box[1]) / 7, smallest), smallest * 1.6);
  context.font = `600 ${size}px ${getComputedStyle(document.body).fontFamily}`;
  let best = null;
  // the longest text that hides nothing; else whichever hides least
  for (const text of words) {
    const tagWidth = context.measureText(text).width + size;
    const tagHeight = size * 1.5;
    if (tagWidth > w || tagHeight > h) continue;
    for (const place of places(box, tagWidth, tagHeight, line, w, h)) {
      const hidden = 4 * overlap(place, taken) + 2 * overlap(place, others) + overlap(place, [box]);
      const cost = hidden / (tagWidth * tagHeight);
      if (best === null || cost < best.cost - 0.05) best = { text, place, cost };
    }
    if (best !== null && best.cost < 0.2) break;
  }
  if (best === null) return [0, 0, 0, 0];
  const [x1, y1, x2, y2] = best.place;
  context.fillStyle = COLOURS[face.label];
  context.beginPath();
  context.roundRect(x1, y1, x2 - x1, y2 - y1, size * 0.3);
  context.fill();
  context.strokeStyle = INK;
  context.lineWidth = Math.max(1, line / 3);
  context.stroke();
  context.fillStyle = INK;
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.fillText(best.text, (x1 + x2) / 2, (y1 + y2) / 2 + size * 0.06);
  return best.place;
}

function places([x1, y1, x2, y2], width, height, line, w, h) {
  const gap = line * 1.5;
  const corners = [
    [x1, y1 - gap - height],
    [x2 - width, y1 - gap - height],
    [x1, y2 + gap],
    [x2 - width, y2 + gap],
    [x2 + gap, y1],
    [x1 - gap - width, y1],
    [x1 + gap, y1 + gap],
  ];
  return corners.map(([x, y]) => {
    const left = Math.min(Math.max(x, 1), w - width - 1);
    const top = Math.min(Math.max(y, 1), h - height - 1);
    return [left, top, left + width, top + height];
  });
}

function overlap([x1, y1, x2, y2], boxes) {
  let sum = 0;
  for (const [a, b, c, d] of boxes) {
    sum += Math.max(0, Math.min(x2, c) - Math.max(x1, a)) * Math.max(0, Math.min(y2, d) - Math.max(y1, b));
  }
  return sum;
}
