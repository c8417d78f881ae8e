// An own picture: from a file, pasted, dropped, from the camera, or a digit that is drawn.
import { h, saying } from "./lib.js";

const MOST_BYTES = 32 * 2 ** 20;
const SIDE = 224, SENT = 112; // of the canvas, and of the picture that is made of it

const base64 = (address) => address.slice(address.indexOf(",") + 1);

function asBase64(file) {
  if (file.size > MOST_BYTES) throw new Error(`The file has ${file.size.toLocaleString("en")} bytes: at most ${MOST_BYTES.toLocaleString("en")} are taken.`);
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(base64(reader.result));
    reader.onerror = () => reject(new Error("The file could not be read: choose it again."));
    reader.readAsDataURL(file);
  });
}

// `take` gets base64. ink: of digits, how much of the side they take; then there is a canvas to draw on.
export function pictureInput(take, ink = null) {
  const { line, attempt } = saying();
  const give = (file) => file && attempt(async () => take(await asBase64(file)));
  const chooser = h("input", { type: "file", accept: "image/*", "aria-label": "a picture's file", change: () => give(chooser.files[0]) });
  const place = h("div", { class: "row middle", tabIndex: 0, "aria-label": "a picture: choose, paste or drop one" },
    chooser, h("button", { type: "button", click: () => attempt(() => camera(stage, take)) }, "Camera"));
  const stage = h("div");
  const whole = h("div", {}, place, stage, line);
  whole.addEventListener("dragover", (event) => event.preventDefault());
  whole.addEventListener("drop", (event) => { event.preventDefault(); give(event.dataTransfer.files[0]); });
  whole.addEventListener("paste", (event) => give(event.clipboardData.files[0]));
  if (ink !== null) whole.prepend(drawing((data) => attempt(() => take(data)), ink));
  return whole;
}

async function camera(stage, take) {
  if (!navigator.mediaDevices) throw new Error("This browser gives no camera to a page that is not served from this machine.");
  let film;
  try { film = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }); } catch (error) {
    throw new Error(`The camera was not given (${error.message}): allow it, or choose a file.`);
  }
  const video = h("video", { srcObject: film, autoplay: true, muted: true, playsInline: true });
  const close = () => { film.getTracks().forEach((track) => track.stop()); stage.replaceChildren(); };
  const shoot = () => {
    const still = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    still.getContext("2d").drawImage(video, 0, 0);
    close();
    take(base64(still.toDataURL("image/png")));
  };
  stage.replaceChildren(video, h("div", { class: "row" },
    h("button", { type: "button", class: "main", click: shoot }, "Take it"), h("button", { type: "button", click: close }, "Close")));
}

function drawing(take, share) {
  const canvas = h("canvas", { class: "drawn", width: SIDE, height: SIDE, "aria-label": "draw a digit here" });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const clear = () => { pen.fillStyle = "#000"; pen.fillRect(0, 0, SIDE, SIDE); };
  clear();
  let last = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height];
  };
  const draw = (event) => {
    if (!last) return;
    const next = at(event);
    Object.assign(pen, { strokeStyle: "#fff", lineWidth: SIDE / 13, lineCap: "round", lineJoin: "round" });
    pen.beginPath(); pen.moveTo(...last); pen.lineTo(...next); pen.stroke();
    last = next;
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); last = at(event); draw(event); });
  canvas.addEventListener("pointermove", draw);
  const end = () => { if (last) { last = null; const framed = frame(canvas, pen, share); if (framed) take(framed); } };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  return h("div", {}, h("p", { class: "faint" }, "Draw a digit; it is scaled and centred as the digits are that the run learnt."), canvas,
    h("div", { class: "row" }, h("button", { type: "button", click: clear }, "Clear")));
}

// The drawn strokes, their longer side scaled to `share` of a square, their centre of mass in its middle.
function frame(canvas, pen, share) {
  const { data } = pen.getImageData(0, 0, SIDE, SIDE);
  let [left, right, top, bottom, sum, sumX, sumY] = [SIDE, -1, SIDE, -1, 0, 0, 0];
  for (let y = 0; y < SIDE; y += 1) {
    for (let x = 0; x < SIDE; x += 1) {
      const ink = data[4 * (y * SIDE + x)];
      if (ink < 32) continue;
      left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
      sum += ink; sumX += ink * x; sumY += ink * y;
    }
  }
  if (!sum) return null;
  const scale = SENT * share / Math.max(right - left + 1, bottom - top + 1);
  // As MNIST's makers did; where there is no margin to move in, the box itself.
  const middle = share < 0.8 ? [sumX / sum, sumY / sum] : [(left + right) / 2, (top + bottom) / 2];
  const small = h("canvas", { width: SENT, height: SENT }), ink = small.getContext("2d");
  ink.fillStyle = "#000"; ink.fillRect(0, 0, SENT, SENT);
  ink.imageSmoothingQuality = "high";
  ink.drawImage(canvas, SENT / 2 - middle[0] * scale, SENT / 2 - middle[1] * scale, SIDE * scale, SIDE * scale);
  return base64(small.toDataURL("image/png"));
}
