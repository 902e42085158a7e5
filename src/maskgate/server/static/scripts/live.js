// The stream of server-sent events, read by hand: unlike EventSource it sees the service's signs of life, so
// that a dead connection is noticed, and why the service says no.

import { signIn } from "./api.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

/**
 * Stays connected for as long as the page is open.
 *
 * heartbeat: seconds after which the service sends a sign of life.
 * onEvent(event): for each event of the cameras.
 * onState(state, seconds): "connecting", "live", or "lost" with the seconds until the next try.
 */
export function follow(path, { heartbeat, onEvent, onState }) {
  const silence = (2.5 * heartbeat + 5) * 1000;
  let last = "";
  let wait = FIRST_WAIT_MS;

  async function connect() {
    const gone = new AbortController();
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => gone.abort(), silence);
    };
    try {
      alive();
      const headers = { accept: "text/event-stream" };
      if (last) headers["last-event-id"] = last;
      const response = await fetch(path, { headers, cache: "no-store", signal: gone.signal });
      if (response.status === 401) {
        signIn();
        return null;
      }
      if (!response.ok) {
        response.body?.cancel();
        return Number(response.headers.get("retry-after")) * 1000 || 0;
      }
      onState("live", 0);
      wait = FIRST_WAIT_MS;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const take = parser((id, data) => {
        if (id) last = id;
        const event = parsed(data);
        if (event?.type && event.camera) onEvent(event);
      });
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return 0;
        alive();
        take(value);
      }
    } catch {
      return 0; // the network went away, or was silent for too long
    } finally {
      clearTimeout(watchdog);
    }
  }

  async function run() {
    onState("connecting", 0);
    for (;;) {
      const asked = await connect();
      if (asked === null) return;
      // not all pages that lost the service at once come back at once
      const pause = Math.max(asked, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      await countdown(pause);
      onState("connecting", 0);
    }
  }

  async function countdown(pause) {
    const until = Date.now() + pause;
    let hurry = false;
    const online = () => (hurry = true);
    addEventListener("online", online);
    while (!hurry && Date.now() < until) {
      onState("lost", Math.ceil((until - Date.now()) / 1000));
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, until - Date.now())));
    }
    removeEventListener("online", online);
  }

  run();
}

/** Takes pieces of a stream, as they come, and gives whole events with their ids. */
export function parser(give) {
  let rest = "";
  let id = "";
  let data = [];
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) give(id, data.join("\n"));
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "data") data.push(value);
      else if (name === "id") id = value;
    }
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
