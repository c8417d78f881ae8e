// A diffusion run: how it draws, the reverse process as it happens, two settings on the same noise, its sweep.
import { ask, choice, classChoice, field, h, labelOf, number, picture, randomSeed, saying, stream } from "./lib.js";
import { lineChart } from "./chart.js";

// One setting: its controls, and the place where it draws.
function setting(about, title) {
  const inputs = Object.fromEntries(about.controls.map((control) => [control.name, control.choices
    ? choice(control.choices.map((word) => [word, word]), control.value, { title: control.help })
    : number(control.value, { step: control.whole ? 1 : "any", min: 0, title: control.help })]));
  const wholes = new Set(about.controls.filter((control) => control.whole).map((control) => control.name));
  const stage = h("div"), bar = h("progress", { max: 1, value: 0, "aria-label": "steps done" }), words = h("p", { class: "faint" });
  const read = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => {
    if (input.type !== "number") return [name, input.value];
    if (input.value === "" || (wholes.has(name) && !Number.isInteger(Number(input.value)))) {
      throw new Error(`${name.replaceAll("_", " ")} needs a ${wholes.has(name) ? "whole " : ""}number.`);
    }
    return [name, Number(input.value)];
  }));
  const set = (sampling) => { for (const [name, value] of Object.entries(sampling)) if (inputs[name]) inputs[name].value = value; };
  const show = (state) => {
    if (state.words) { words.textContent = `${state.words}; ${state.evaluations} network passes a picture.`; return; }
    bar.value = state.done / state.steps;
    const row = (name, sources) => h("figure", {}, h("figcaption", {}, name),
      h("div", { class: "strip" }, sources.map((source, place) => picture(source, `${name} ${place + 1}`, sources.length > 1 ? "shown" : "large"))));
    stage.replaceChildren(row("noisy state", state.noisy), row("predicted picture", state.predicted));
    words.textContent = `step ${state.done} of ${state.steps}, noise level t = ${state.t.toFixed(3)}`;
  };
  const fields = h("div", { class: "row" }, Object.entries(inputs).map(([name, input]) => field(name.replaceAll("_", " "), input)));
  const whole = h("div", {}, h("h2", {}, title), h("details", { open: title === "Setting A" }, h("summary", {}, "sampler, steps, guidance"), fields), bar, words, stage);
  return { whole, read, set, show };
}

export function diffusionPanels(about) {
  const { line, attempt } = saying();
  const turns = classChoice(about, ["", "the classes take turns"]);
  if (turns && about.unlabelled) turns.append(h("option", { value: "-1" }, "without a label"));
  const seed = number(0, { min: 0, step: 1 }), count = number(1, { min: 1, max: 16, step: 1 });
  const a = setting(about, "Setting A"), b = setting(about, "Setting B");
  const both = h("input", { type: "checkbox", id: "both", change: () => { b.whole.hidden = !both.checked; } });
  b.whole.hidden = true;
  let running = null;
  const draw = () => attempt(async () => {
    running?.abort();
    const mine = running = new AbortController();
    const body = { run: about.name, seed: Number(seed.value), label: labelOf(turns), count: Number(count.value) };
    const settings = both.checked ? [a, b] : [a];
    await Promise.all(settings.map((one) => stream("draw", { ...body, sampling: one.read() }, one.show, mine.signal)));
  });
  const fresh = () => { seed.value = randomSeed(); draw(); };
  const panel = h("section", { id: "draw" }, h("h2", {}, "Draw"),
    h("div", { class: "row" }, turns && field(about.classes.length ? "class" : "", turns), field("seed", seed), field("pictures", count),
      h("button", { type: "button", class: "main", click: draw }, "Draw"), h("button", { type: "button", click: fresh }, "Another seed"),
      h("button", { type: "button", click: () => running?.abort() }, "Stop"),
      h("label", { class: "check", for: "both" }, both, "a second setting on the same noise")),
    line, h("div", { class: "sides" }, a.whole, b.whole));
  return [panel, sweepPanel(about, (sampling) => { a.set(sampling); panel.scrollIntoView({ block: "start" }); draw(); })];
}

function sweepPanel(about, take) {
  if (!about.swept) {
    return h("section", {}, h("h2", {}, "Sweep"), h("p", { class: "faint" }, "No sweep was made of this run: `genshift sweep` measures guidance, steps and samplers."));
  }
  const { line, attempt } = saying(), place = h("div", { class: "sides" });
  attempt(async () => {
    const { charts } = await ask("sweep", { run: about.name });
    const said = (point) => `${point.setting}: Fréchet distance ${point.frechet.toPrecision(4)}${point.accuracy === null ? "" : `, right class ${(100 * point.accuracy).toFixed(1)} %`}`;
    place.replaceChildren(...charts.flatMap((chart) => ["accuracy", "frechet"].flatMap((key) => {
      const lines = chart.lines.map((one) => ({ name: one.name, points: one.points.filter((point) => point[key] !== null).map((point) => ({ ...point, y: point[key] })) }));
      if (!lines.some((one) => one.points.length)) return [];
      const yTitle = key === "accuracy" ? "share of the right class" : "Fréchet distance";
      const floor = key === "frechet" ? chart.floor : null;
      return [lineChart(lines, { xTitle: chart.title, yTitle, floor, said, press: (point) => take(point.sampling), width: 480 })];
    })));
  });
  return h("section", { id: "sweep" }, h("h2", {}, "Sweep"), h("p", { class: "faint" }, "Press a point to draw with its setting; the dashed line is the distance of real pictures from real ones."), line, place);
}
