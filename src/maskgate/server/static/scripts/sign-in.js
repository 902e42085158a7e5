// Trades an access token for a cookie that scripts cannot read.

import { ask, showProblem } from "./api.js";

const form = document.getElementById("sign-in");
const messages = document.getElementById("messages");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  messages.replaceChildren();
  try {
    await ask("/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: form.token.value.trim() }),
      signIn: false,
    });
    location.replace(form.dataset.next);
  } catch (problem) {
    if (problem.status === 401) {
      problem.title = "This token is not known here";
      problem.detail = "";
      problem.advice = "Check that it was copied whole, and try again.";
    }
    showProblem(messages, problem);
    button.disabled = false;
    form.token.select();
  }
});
