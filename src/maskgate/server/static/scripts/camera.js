// The browser's camera, in a dialog.

import { Problem } from "./api.js";

const REASONS = {
  NotAllowedError: ["The camera is not allowed", "Allow it for this page in the browser's settings, and try again."],
  NotFoundError: ["There is no camera", "Connect one, or choose a picture."],
  NotReadableError: ["The camera is busy", "Close what else uses it, and try again."],
};

/** A picture that was taken, as a JPEG file; null where the dialog was closed. Throws a Problem. */
export async function takePicture() {
  const dialog = document.getElementById("camera");
  const video = document.getElementById("video");
  const stream = await open();
  video.srcObject = stream;
  dialog.returnValue = "";
  dialog.showModal();
  document.getElementById("camera-take").focus();
  try {
    const taken = await new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "taken"), { once: true });
    });
    return taken && video.videoWidth > 0 ? await frameOf(video) : null;
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  }
}

async function open() {
  // browsers hide cameras from pages that came over plain HTTP from another machine
  if (!navigator.mediaDevices?.getUserMedia) {
    const problem = new Problem(-1);
    problem.title = "The browser gives no camera to this page";
    problem.advice = "Browsers do that only over HTTPS, or on the machine itself.";
    throw problem;
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
      audio: false,
    });
  } catch (error) {
    const problem = new Problem(-1);
    [problem.title, problem.advice] = REASONS[error.name] ?? [
      "The camera cannot be used",
      "Try again, or choose a picture.",
    ];
    throw problem;
  }
}

async function frameOf(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], "camera.jpg", { type: "image/jpeg" });
}

document.getElementById("camera-take").addEventListener("click", () => {
  document.getElementById("camera").close("taken");
});
document.getElementById("camera-close").addEventListener("click", () => {
  document.getElementById("camera").close();
});
