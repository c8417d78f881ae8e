// A run that learnt classes: an own picture, the latent map, and the queue of pictures to label.
import { COLOURS, ask, choice, field, h, number, picture, saying } from "./lib.js";
import { PointMap } from "./map.js";
import { pictureInput } from "./picture_input.js";
import { queuePanel } from "./queue.js";

const LISTED = 200; // pictures of a lasso that are listed
const UNLABELLED = "#9aa4b0";

export function classPanels(about) {
  const panels = [picturePanel(about)];
  if (about.by_class) panels.push(mapPanel(about));
  if (about.kind === "adaptation") panels.push(queuePanel(about));
  return panels;
}

function bars(answers) {
  return h("div", { class: "bars" }, answers.map((answer) => h("div", { class: "bar" }, h("span", {}, answer.class),
    h("meter", { min: 0, max: 1, value: answer.share }), h("span", {}, `${(100 * answer.share).toFixed(1)} %`))));
}

function picturePanel(about) {
  const { line, attempt } = saying(), result = h("div");
  const take = (data) => attempt(async () => {
    const found = await ask("classify", { run: about.name, picture: data });
    const how = found.how ?? "Each attribute's probability.";
    const columns = [h("div", {}, h("h2", {}, found.source_only ? "This run" : "Answer"), bars(found.answers))];
    if (found.source_only) columns.push(h("div", {}, h("h2", {}, `Source-only: ${found.source_only.run}`), bars(found.source_only.answers)));
    const near = (found.nearest ?? []).map((one) => h("figure", {}, picture(one.picture, `training picture of ${one.label ?? "no class"}`), h("figcaption", {}, one.label ?? "")));
    result.replaceChildren(
      h("div", { class: "row" }, h("figure", {}, picture(found.picture, "as the run sees it", "large"), h("figcaption", {}, "as the run sees it")),
        h("p", { class: "good", id: "answer" }, `${found.answers[0].class}, ${(100 * found.answers[0].share).toFixed(1)} %`)),
      h("div", { class: "sides" }, columns), h("p", { class: "faint" }, how),
      ...(near.length ? [h("h2", {}, "Nearest training pictures, by features"), h("div", { class: "strip" }, near)] : []),
      ...found.notes.map((note) => h("p", { class: "faint" }, note)));
  });
  return h("section", { id: "picture" }, h("h2", {}, "A picture of your own"),
    h("div", { class: "sides" }, pictureInput(take, about.ink), h("div", {}, line, result)));
}

function mapPanel(about) {
  const { line, attempt } = saying();
  const count = number(1000, { min: 10, max: 5000, step: 10 });
  const layout = choice([["pca", "principal components"], ["tsne", "t-SNE"]], "pca");
  const colour = choice([["predicted", "class it is taken for"], ["label", "class by its label"], ["domain", "domain"], ["confidence", "confidence"], ["right", "right or wrong"]], "predicted");
  const legend = h("div", { class: "legend" }), notes = h("div"), list = h("div"), place = h("div");
  const button = h("button", { type: "button", class: "main" }, "Show the map");
  const lasso = h("button", { type: "button", "aria-pressed": "false", disabled: true }, "Lasso");
  let data = null;
  const named = (k) => (k < 0 ? "no label" : data.classes[k]);
  const said = (i) => `${data.domains[data.domain[i]]}. Taken for ${named(data.predicted[i])}, ${(100 * data.confidence[i]).toFixed(0)} %; ${data.label[i] < 0 ? "no label" : `is ${named(data.label[i])}`}.`;
  const caught = (rows) => {
    const figures = rows.slice(0, LISTED).map((i) => {
      const canvas = h("canvas", { class: "shown" });
      map.paint(canvas, i);
      return h("figure", { title: said(i) }, canvas, h("figcaption", {}, `${named(data.predicted[i])} ${(100 * data.confidence[i]).toFixed(0)} %`));
    });
    const more = rows.length > LISTED ? `, the first ${LISTED} of them` : "";
    list.replaceChildren(h("p", {}, `The lasso holds ${rows.length.toLocaleString("en")} pictures${more}.`), h("div", { class: "strip" }, figures));
  };
  const map = new PointMap(said, caught);
  window.studioMap = map; // for whoever counts its frames
  const paint = () => {
    if (!data) return;
    const { colours, keys } = coloursOf(data, colour.value);
    map.colour(colours);
    legend.replaceChildren(...keys.map(([name, value]) => { const dot = h("span", { class: "dot" }); dot.style.background = value; return h("span", {}, dot, name); }));
  };
  const show = () => attempt(async () => {
    button.disabled = true;
    notes.replaceChildren(h("p", { class: "wait" }, layout.value === "tsne" ? "Laying the points out; of thousands that takes minutes …" : "Reading the pictures …"));
    try { data = await ask("map", { run: about.name, count: Number(count.value), layout: layout.value }); } finally { button.disabled = false; notes.replaceChildren(); }
    notes.replaceChildren(...data.notes.map((note) => h("p", { class: "faint" }, note)));
    place.replaceChildren(map.element);
    map.show(data.x, data.y, data.sheet, data.side);
    lasso.disabled = false;
    list.replaceChildren();
    paint();
  });
  button.addEventListener("click", show);
  colour.addEventListener("change", paint);
  lasso.addEventListener("click", () => { map.lassoing = !map.lassoing; lasso.setAttribute("aria-pressed", String(map.lassoing)); });
  return h("section", { id: "map" }, h("h2", {}, "Latent map"),
    h("p", { class: "faint" }, "Features of evaluation pictures. Point at one to see it; drag to move, wheel or pinch to zoom; lasso (or Shift and drag) lists what it holds. Labels of the target are shown here and trained nothing."),
    h("div", { class: "row" }, field("pictures", count), field("laid out by", layout), field("coloured by", colour), button, lasso), line, notes, legend, place, list);
}

function coloursOf(data, by) {
  const cycle = (k) => (k < 0 ? UNLABELLED : COLOURS[k % COLOURS.length]);
  const unlabelled = data.label.some((k) => k < 0) ? [["no label", UNLABELLED]] : [];
  const classes = data.classes.map((name, k) => [name, cycle(k)]);
  if (by === "predicted") return { colours: data.predicted.map(cycle), keys: classes };
  if (by === "label") return { colours: data.label.map(cycle), keys: [...classes, ...unlabelled] };
  if (by === "domain") return { colours: data.domain.map(cycle), keys: data.domains.map((name, k) => [name, cycle(k)]) };
  if (by === "right") {
    const colours = data.label.map((k, i) => (k < 0 ? UNLABELLED : k === data.predicted[i] ? "#3f90da" : "#bd1f01"));
    return { colours, keys: [["right", "#3f90da"], ["wrong", "#bd1f01"], ...unlabelled] };
  }
  const shade = (value) => `hsl(${Math.round(20 + 200 * value)} 75% 50%)`;
  return { colours: data.confidence.map((value) => shade(Math.round(value * 20) / 20)), keys: [0, 0.5, 1].map((value) => [`${100 * value} %`, shade(value)]) };
}
