// Points on a canvas: dragged, zoomed, pointed at, and caught in a lasso.
import { h } from "./lib.js";

const NEAR = 14; // pixels from a point within which it is pointed at
const MARGIN = 0.06;

export class PointMap {
  // said(i): a point's words; caught(indices): what a lasso holds.
  constructor(said, caught) {
    this.said = said; this.caught = caught;
    this.canvas = h("canvas", { "aria-label": "map of the pictures", tabIndex: 0 });
    this.small = h("canvas");
    this.words = h("div");
    this.tip = h("div", { class: "tip", hidden: true }, this.small, this.words);
    this.element = h("div", { class: "map" }, this.canvas, this.tip);
    this.x = new Float32Array(0); this.y = new Float32Array(0); this.groups = [];
    this.held = new Set(); this.lasso = null; this.lassoing = false; this.frames = 0; this.waiting = false;
    this.pointers = new Map();
    for (const [name, act] of [["pointerdown", this.down], ["pointermove", this.move], ["pointerup", this.up], ["pointercancel", this.up]]) {
      this.canvas.addEventListener(name, act.bind(this));
    }
    this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY); }, { passive: false });
    new ResizeObserver(() => this.fit()).observe(this.canvas);
  }

  // x, y: columns of places; sheet, side: the pictures, and how large each is in it.
  show(x, y, sheet, side) {
    this.x = Float32Array.from(x); this.y = Float32Array.from(y);
    this.sheet = h("img", { src: sheet }); this.side = side;
    this.columns = Math.max(1, Math.ceil(Math.sqrt(x.length)));
    this.held.clear();
    this.fit();
  }

  // colours: one a point.
  colour(colours) {
    const groups = new Map();
    colours.forEach((colour, i) => { if (!groups.has(colour)) groups.set(colour, []); groups.get(colour).push(i); });
    this.groups = [...groups];
    this.later();
  }

  fit() {
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    this.width = box.width; this.height = box.height;
    this.canvas.width = box.width * ratio; this.canvas.height = box.height * ratio;
    this.ratio = ratio;
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.x.length; i += 1) {
      left = Math.min(left, this.x[i]); right = Math.max(right, this.x[i]); top = Math.min(top, this.y[i]); bottom = Math.max(bottom, this.y[i]);
    }
    this.scale = (1 - 2 * MARGIN) * Math.min(this.width / (right - left || 1), this.height / (bottom - top || 1));
    this.shift = [this.width / 2 - (left + right) / 2 * this.scale, this.height / 2 - (top + bottom) / 2 * this.scale];
    this.later();
  }

  place(i) { return [this.x[i] * this.scale + this.shift[0], this.y[i] * this.scale + this.shift[1]]; }

  later() { if (!this.waiting) { this.waiting = true; requestAnimationFrame(() => { this.waiting = false; this.draw(); }); } }

  draw() {
    const pen = this.canvas.getContext("2d"), size = this.x.length > 2000 ? 3.4 : 5;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    for (const [colour, places] of this.groups) {
      pen.fillStyle = colour;
      pen.globalAlpha = 0.8;
      for (const i of places) {
        const x = this.x[i] * this.scale + this.shift[0], y = this.y[i] * this.scale + this.shift[1];
        if (x > -size && y > -size && x < this.width + size && y < this.height + size) pen.fillRect(x - size / 2, y - size / 2, size, size);
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = pen.fillStyle = getComputedStyle(this.canvas).color;
    for (const i of this.held) { const [x, y] = this.place(i); pen.strokeRect(x - size / 2 - 1, y - size / 2 - 1, size + 2, size + 2); }
    if (this.lasso) { pen.beginPath(); this.lasso.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y))); pen.closePath(); pen.stroke(); }
    this.frames += 1;
  }

  zoom(factor, x, y) {
    this.shift = [x - (x - this.shift[0]) * factor, y - (y - this.shift[1]) * factor];
    this.scale *= factor;
    this.later();
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (this.pointers.size === 1 && (this.lassoing || event.shiftKey)) this.lasso = [[event.offsetX, event.offsetY]];
  }

  move(event) {
    const before = this.pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
    if (!before) { this.point(...now); return; }
    if (this.pointers.size === 2) { // two fingers: their distance zooms
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
      this.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (this.lasso) { this.lasso.push(now); this.later(); } else {
      this.shift = [this.shift[0] + now[0] - before[0], this.shift[1] + now[1] - before[1]];
      this.later();
    }
    this.pointers.set(event.pointerId, now);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.lasso) {
      const inside = this.inside(this.lasso);
      this.lasso = null; this.held = new Set(inside);
      this.caught(inside);
      this.later();
    } else { this.point(event.offsetX, event.offsetY); }
  }

  // The points within a closed line (even-odd rule).
  inside(line) {
    const found = [];
    for (let i = 0; i < this.x.length; i += 1) {
      const [x, y] = this.place(i);
      let within = false;
      for (let k = 0, before = line.length - 1; k < line.length; before = k, k += 1) {
        const [ax, ay] = line[k], [bx, by] = line[before];
        if ((ay > y) !== (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax) within = !within;
      }
      if (within) found.push(i);
    }
    return found;
  }

  point(x, y) {
    let best = -1, least = NEAR ** 2;
    for (let i = 0; i < this.x.length; i += 1) {
      const dx = this.x[i] * this.scale + this.shift[0] - x, dy = this.y[i] * this.scale + this.shift[1] - y;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = i; }
    }
    this.tip.hidden = best < 0;
    if (best < 0) return;
    this.paint(this.small, best);
    this.words.textContent = this.said(best);
    const [px, py] = this.place(best);
    this.tip.style.left = `${Math.max(0, Math.min(px + 10, this.width - 150))}px`;
    this.tip.style.top = `${Math.max(0, Math.min(py + 10, this.height - 150))}px`;
  }

  // The picture of a point on a canvas.
  paint(canvas, i) {
    canvas.width = canvas.height = this.side;
    const left = (i % this.columns) * this.side, top = Math.floor(i / this.columns) * this.side;
    const draw = () => canvas.getContext("2d").drawImage(this.sheet, left, top, this.side, this.side, 0, 0, this.side, this.side);
    if (this.sheet.complete) draw(); else this.sheet.addEventListener("load", draw, { once: true });
  }
}
