// Lines over numbers or words, as SVG; their points can be pressed.
import { COLOURS, h, shortNumber } from "./lib.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 280, LEFT = 56, RIGHT = 30, TOP = 12, BOTTOM = 40;

function s(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function ticks(low, high, count = 5) {
  const raw = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

// lines: [{name, points: [{x, y, …}]}]; press: called with a point; floor: a dashed line; said: a point's words.
export function lineChart(lines, { width = 640, xTitle = "", yTitle = "", press = null, floor = null, said = null } = {}) {
  const points = lines.flatMap((line) => line.points);
  if (!points.length) return h("p", { class: "faint" }, "Nothing to draw yet.");
  const words = typeof points[0].x === "string" ? [...new Set(points.map((point) => point.x))] : null;
  const xs = words ? [-0.5, words.length - 0.5] : [Math.min(...points.map((p) => p.x)), Math.max(...points.map((p) => p.x))];
  const ys = points.map((point) => point.y).concat(floor === null ? [] : [floor]);
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (low === high) { low -= Math.abs(low) * 0.1 + 1e-9; high += Math.abs(high) * 0.1 + 1e-9; }
  [low, high] = [low - (high - low) * 0.05, high + (high - low) * 0.05];
  const toX = (x) => LEFT + ((words ? words.indexOf(x) : x) - xs[0]) / (xs[1] - xs[0] || 1) * (width - LEFT - RIGHT);
  const toY = (y) => HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
  const chart = s("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${yTitle} over ${xTitle}` });
  for (const value of ticks(low, high)) {
    chart.append(s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: toY(value), y2: toY(value) }),
      s("text", { x: LEFT - 6, y: toY(value) + 4, "text-anchor": "end" }, shortNumber(value)));
  }
  for (const value of words ?? ticks(xs[0], xs[1], width < 420 ? 3 : 6)) {
    chart.append(s("text", { x: toX(value), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, words ? value : shortNumber(value)));
  }
  chart.append(s("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xTitle));
  if (floor !== null) chart.append(s("line", { class: "dash", x1: LEFT, x2: width - RIGHT, y1: toY(floor), y2: toY(floor) }));
  lines.forEach((line, place) => {
    const colour = COLOURS[place % COLOURS.length];
    const path = line.points.map((point) => `${toX(point.x).toFixed(1)},${toY(point.y).toFixed(1)}`).join(" ");
    chart.append(s("polyline", { points: path, fill: "none", stroke: colour, "stroke-width": 2 }));
    if (!press && line.points.length > 40) return;
    for (const point of line.points) {
      const words = said ? said(point) : `${line.name} ${shortNumber(point.y)} at ${shortNumber(point.x)}`;
      const pressed = press ? { tabindex: 0, role: "button", "aria-label": words, click: () => press(point),
        keydown: (event) => { if (event.key === "Enter") press(point); } } : {};
      chart.append(s("circle", { cx: toX(point.x), cy: toY(point.y), r: press ? 6 : 3, fill: colour, ...pressed }, s("title", {}, words)));
    }
  });
  const legend = h("div", { class: "legend" }, lines.filter((line) => line.name).map((line, place) => {
    const dot = h("span", { class: "dot" });
    dot.style.background = COLOURS[place % COLOURS.length];
    return h("span", {}, dot, line.name);
  }));
  return h("figure", {}, h("figcaption", {}, yTitle), chart, legend);
}
