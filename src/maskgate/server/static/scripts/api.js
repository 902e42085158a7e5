// Asks the service, and turns what goes wrong into sentences.

import { copyOf } from "./words.js";

const SENTENCES = {
  0: ["The service cannot be reached", "Check the network, and whether the service is running; then try again."],
  401: ["You are not signed in", "Sign in with your access token."],
  403: ["Your access token may not do this", "Ask whoever runs the service for one that may."],
  413: ["The picture is too large", "Choose a smaller one, or make it smaller first."],
  415: ["This kind of file is not taken", "Choose a JPEG, PNG, WebP, BMP or TIFF picture."],
  422: ["This picture cannot be read", "Choose another one, or save it anew."],
  429: ["Too many requests", "Wait a moment and try again."],
  503: ["The service is busy", "Wait a moment and try again."],
};

/** What went wrong, in words. `status` is 0 where there was no answer at all. */
export class Problem extends Error {
  constructor(status, detail = "", retryAfter = 0) {
    const [title, advice] = SENTENCES[status] ?? ["Something went wrong", "Try again."];
    super(title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.advice = retryAfter > 1 ? `Try again in ${retryAfter} seconds.` : advice;
    this.retryAfter = retryAfter;
  }
}

async function problemOf(response) {
  let detail = "";
  try {
    const content = await response.json();
    if (typeof content.detail === "string") detail = content.detail;
  } catch {
    // an answer of something in between that is no problem document
  }
  return new Problem(response.status, detail, Number(response.headers.get("retry-after")) || 0);
}

/** The answer to a request; whoever is not signed in is led to where one can. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (response.ok) return response;
  if (response.status === 401 && options.signIn !== false) {
    signIn();
  }
  throw await problemOf(response);
}

/** The JSON answer of a path with query parameters; empty ones are left out. */
export async function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return (await ask(text ? `${path}?${text}` : path, options)).json();
}

export function signIn() {
  const here = location.pathname + location.search;
  location.assign(`/sign-in?next=${encodeURIComponent(here)}`);
}

/** Shows a problem in `place`, in the place of what was there. */
export function showProblem(place, problem) {
  const shown = copyOf("problem");
  shown.querySelector("strong").textContent = problem.title ?? "Something went wrong";
  const detail = problem.detail ? sentence(problem.detail) : "";
  shown.querySelector("p").textContent = [detail, problem.advice].filter(Boolean).join(" ");
  place.replaceChildren(shown);
}

function sentence(text) {
  const trimmed = text.trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}

document.getElementById("sign-out")?.addEventListener("click", async () => {
  try {
    await ask("/v1/session", { method: "DELETE", signIn: false });
  } catch (problem) {
    if (problem.status !== 401) return;
  }
  location.assign("/sign-in");
});
