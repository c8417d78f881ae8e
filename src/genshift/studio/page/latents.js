// A VAE or a GAN: a picture of a latent vector, sliders along directions, walks between two vectors.
import { ask, classChoice, field, h, labelOf, newest, number, picture, randomSeed, saying } from "./lib.js";
import { pictureInput } from "./picture_input.js";

const MOST_TRUNCATION = 3;

// Where a latent vector comes from: a seed (truncated, of a GAN), or an own picture (of a VAE).
function origin(about, classes, changed) {
  const { line, attempt } = saying();
  const seed = number(randomSeed(), { min: 0, step: 1 });
  const shown = h("div", { class: "strip" });
  const truncation = about.kind === "gan" ? h("input", { type: "range", min: 0.2, max: MOST_TRUNCATION, step: 0.05, value: MOST_TRUNCATION }) : null;
  const amount = h("span", { class: "faint" });
  const own = { latent: null };
  const fromSeed = newest(() => attempt(async () => {
    const within = truncation && Number(truncation.value) < MOST_TRUNCATION ? Number(truncation.value) : null;
    if (truncation) amount.textContent = within === null ? "none" : `±${within}`;
    const found = await ask("latent", { run: about.name, seed: Number(seed.value), label: labelOf(classes), truncation: within });
    own.latent = found.latent;
    shown.replaceChildren(picture(found.picture, "picture of the seed", "large"));
    changed?.(own.latent);
  }));
  const fromPicture = (data) => attempt(async () => {
    const found = await ask("encode", { run: about.name, picture: data, label: labelOf(classes) });
    own.latent = found.latent;
    const quality = found.psnr === null ? "exact" : `PSNR ${found.psnr.toFixed(1)} dB`;
    shown.replaceChildren(
      h("figure", {}, picture(found.picture, "own picture", "large"), h("figcaption", {}, "as the run sees it")),
      h("figure", {}, picture(found.decoded, "reconstruction", "large"), h("figcaption", {}, `reconstruction, ${quality}`)));
    changed?.(own.latent);
  });
  seed.addEventListener("change", fromSeed);
  truncation?.addEventListener("input", fromSeed);
  own.refresh = fromSeed;
  own.whole = h("div", {}, h("div", { class: "row" }, field("seed", seed),
    h("button", { type: "button", click: () => { seed.value = randomSeed(); fromSeed(); } }, "Another seed"),
    truncation && field("truncation", truncation), truncation && amount),
  about.kind === "vae" ? pictureInput(fromPicture) : null, line, shown);
  return own;
}

export function latentPanels(about) {
  const classes = classChoice(about);
  const panels = about.kind === "vae" ? [sliderPanel(about, classes)] : [];
  const walk = walkPanel(about, classes);
  const top = classes ? [h("section", {}, h("div", { class: "row" }, field("class", classes)))] : [];
  return [...top, ...panels, walk];
}

function sliderPanel(about, classes) {
  const { line, attempt } = saying();
  const place = h("div"), result = h("div"), clock = h("p", { class: "faint" });
  const amounts = {};
  const move = newest(() => attempt(async () => {
    if (!start.latent) return;
    const begun = performance.now();
    const given = Object.fromEntries(Object.entries(amounts).filter(([, value]) => value !== 0));
    const found = await ask("move", { run: about.name, latent: start.latent, amounts: given, label: labelOf(classes) });
    result.replaceChildren(picture(found.picture, "moved picture", "large"));
    clock.textContent = `${Math.round(performance.now() - begun)} ms`;
    clock.dataset.ms = performance.now() - begun;
  }));
  const start = origin(about, classes, move);
  const sliders = [];
  attempt(async () => {
    const directions = await ask("directions", { run: about.name });
    for (const { name } of directions) {
      const shown = h("span", { class: "faint" }, "0");
      const slider = h("input", { type: "range", min: -3, max: 3, step: 0.05, value: 0, "aria-label": name, id: `along-${name}` });
      slider.addEventListener("input", () => { amounts[name] = Number(slider.value); shown.textContent = slider.value; move(); });
      sliders.push([slider, shown]);
      place.append(h("div", { class: "slider" }, h("label", { for: slider.id }, name), slider, shown));
    }
  });
  const reset = () => { for (const [slider, shown] of sliders) { slider.value = 0; shown.textContent = "0"; } Object.keys(amounts).forEach((name) => { amounts[name] = 0; }); move(); };
  start.refresh();
  return h("section", { id: "sliders" }, h("h2", {}, "Reconstruct, and move"),
    h("p", { class: "faint" }, "A step along an attribute is the difference between pictures with it and without; along a principal direction a standard deviation of the training pictures."),
    line, h("div", { class: "sides" }, h("div", {}, h("h2", {}, "From"), start.whole),
      h("div", {}, h("h2", {}, "Moved"), result, clock, h("button", { type: "button", click: reset }, "Back to zero"), place)));
}

function walkPanel(about, classes) {
  const { line, attempt } = saying();
  const steps = number(8, { min: 2, max: 24, step: 1 }), strip = h("div", { class: "strip" });
  const walk = newest(() => attempt(async () => {
    if (!start.latent || !end.latent) return;
    const found = await ask("walk", { run: about.name, start: start.latent, end: end.latent, steps: Number(steps.value), label: labelOf(classes) });
    strip.replaceChildren(...found.pictures.map((source, place) => picture(source, `step ${place + 1}`)));
  }));
  const start = origin(about, classes, walk), end = origin(about, classes, walk);
  steps.addEventListener("change", walk);
  start.refresh();
  end.refresh();
  classes?.addEventListener("change", () => { start.refresh(); end.refresh(); });
  const words = about.kind === "gan" ? "Walk between two seeds" : "Interpolate between two";
  return h("section", { id: "walk" }, h("h2", {}, words),
    h("p", { class: "faint" }, "On the great circle between the two latent vectors."), line,
    h("div", { class: "sides" }, h("div", {}, h("h2", {}, "From"), start.whole), h("div", {}, h("h2", {}, "To"), end.whole)),
    h("div", { class: "row" }, field("steps", steps)), strip);
}
