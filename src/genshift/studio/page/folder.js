// A folder of runs: what is there, curves as they come, results side by side, pictures of the same seeds.
import { ask, field, h, number, picture, saying, shortNumber } from "./lib.js";
import { lineChart } from "./chart.js";

const FIRST = 8; // runs whose curves are drawn at first
const EVERY = 3000; // milliseconds between two looks at the curves

export function folderPanels(runs, alive) {
  const good = runs.filter((run) => !run.error);
  return [listPanel(runs), ...(good.length ? [curvePanel(good, alive), comparePanel()] : []), ...(good.some((run) => run.draws) ? [seedPanel(good.filter((run) => run.draws))] : [])];
}

export const runLink = (name) => h("a", { href: `#${encodeURIComponent(name)}` }, name);

function listPanel(runs) {
  const rows = runs.map((run) => (run.error
    ? h("tr", {}, h("td", {}, run.name), h("td", { class: "error", colSpan: 4 }, run.error))
    : h("tr", {}, h("td", {}, runLink(run.name)), h("td", {}, run.preset), h("td", { class: "number" }, String(run.seed)),
      h("td", { class: "number" }, `${run.seen.toLocaleString("en")} of ${run.images.toLocaleString("en")}`), h("td", {}, run.state))));
  return h("section", { id: "list" }, h("h2", {}, "Runs"), h("div", { class: "table" }, h("table", {},
    h("thead", {}, h("tr", {}, ["run", "preset", "seed", "images", "state"].map((name) => h("th", {}, name)))), h("tbody", {}, rows))));
}

// Of the runs, as long as `alive` says that the page is still theirs.
export function curvePanel(runs, alive) {
  const { line, attempt } = saying(), place = h("div");
  const boxes = runs.map((run, k) => h("input", { type: "checkbox", value: run.name, checked: k < FIRST, id: `curve-${k}` }));
  const key = h("select");
  let wanted = "";
  const look = () => attempt(async () => {
    const names = boxes.filter((box) => box.checked).map((box) => box.value);
    const { curves, errors } = await ask("curves", { runs: names });
    const keys = [...new Set(Object.values(curves).flatMap((one) => Object.keys(one)))];
    if (keys.join() !== wanted) {
      const before = key.value;
      wanted = keys.join();
      key.replaceChildren(...keys.map((name) => h("option", { value: name }, name)));
      key.value = keys.includes(before) ? before : keys.find((name) => name.includes("loss")) ?? keys[0] ?? "";
    }
    const lines = names.filter((name) => curves[name]?.[key.value]).map((name) => ({ name, points: curves[name][key.value].map(([x, y]) => ({ x, y })) }));
    place.replaceChildren(lineChart(lines, { xTitle: "images seen", yTitle: key.value, width: Math.max(320, place.clientWidth || 640) }));
    if (errors.length) line.textContent = errors.join(" ");
  });
  for (const control of [key, ...boxes]) control.addEventListener("change", look);
  const again = async () => {
    if (!alive() || !place.isConnected) return;
    if (!document.hidden) await look();
    setTimeout(again, EVERY);
  };
  setTimeout(again, 0);
  return h("section", { id: "curves" }, h("h2", {}, "Curves, as they come"),
    h("div", { class: "row" }, field("value", key), boxes.map((box, k) => h("label", { class: "check", for: box.id }, box, runs[k].name))), line, place);
}

function comparePanel() {
  const { line, attempt } = saying(), place = h("div");
  attempt(async () => {
    const { tables } = await ask("compare");
    if (!tables.length) place.append(h("p", { class: "faint" }, "No run was evaluated yet."));
    for (const { head, rows } of tables) {
      place.append(h("div", { class: "table" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", {}, name)))),
        h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))))));
    }
  });
  return h("section", { id: "compare" }, h("h2", {}, "Results side by side"), line, place);
}

function seedPanel(runs) {
  const { line, attempt } = saying(), place = h("div"), seed = number(0, { min: 0, step: 1 });
  const draw = () => attempt(async () => {
    place.replaceChildren();
    for (const run of runs) {
      const strip = h("div", { class: "strip" }, h("span", { class: "wait" }, "drawing …"));
      place.append(h("p", {}, runLink(run.name)), strip);
      try {
        const { pictures } = await ask("same-seed", { run: run.name, seed: Number(seed.value) });
        strip.replaceChildren(...pictures.map((source, k) => picture(source, `${run.name}, picture ${k + 1}`)));
      } catch (error) { strip.replaceChildren(h("span", { class: "error" }, error.message)); }
    }
  });
  return h("section", { id: "seeds" }, h("h2", {}, "Pictures of the same seed"),
    h("p", { class: "faint" }, "Diffusion models draw in few steps here."),
    h("div", { class: "row" }, field("seed", seed), h("button", { type: "button", class: "main", click: draw }, "Draw of each run")), line, place);
}

export function resultTable(about) {
  if (!about.results.length) return h("p", { class: "faint" }, "Not evaluated yet.");
  const rows = about.results.map((one) => h("tr", {}, h("td", {}, one.name), h("td", { class: "number" }, shortNumber(one.value)),
    h("td", { class: "number" }, shortNumber(one.std)), h("td", { class: "number" }, shortNumber(one.floor)), h("td", { class: "number" }, shortNumber(one.n))));
  return h("details", {}, h("summary", {}, "results"), h("div", { class: "table" }, h("table", {},
    h("thead", {}, h("tr", {}, ["measure", "value", "±", "floor", "n"].map((name) => h("th", {}, name)))), h("tbody", {}, rows))));
}
