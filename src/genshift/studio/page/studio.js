// The page: which run is shown, and the panels of its family.
import { ask, h } from "./lib.js";
import { classPanels } from "./classes.js";
import { diffusionPanels } from "./diffusion.js";
import { curvePanel, folderPanels, resultTable } from "./folder.js";
import { latentPanels } from "./latents.js";

const PANELS = { diffusion: diffusionPanels, vae: latentPanels, gan: latentPanels, classifier: classPanels, adaptation: classPanels };
const main = document.getElementById("main"), list = document.getElementById("runs");
let shown = 0;

const wanted = () => decodeURIComponent(location.hash.slice(1));

async function show() {
  const mine = (shown += 1), name = wanted();
  main.replaceChildren(h("p", { class: "wait" }, name ? "Opening the run …" : "Reading the runs …"));
  const alive = () => mine === shown;
  let content, known = null;
  try {
    const { runs } = await ask("overview");
    known = runs.find((run) => run.name === name && !run.error);
    list.replaceChildren(h("option", { value: "" }, "all runs"), ...runs.map((run) => h("option", { value: run.name }, run.name)));
    list.value = name;
    if (!name && runs.length === 1 && !runs[0].error) { location.replace(`#${encodeURIComponent(runs[0].name)}`); return; }
    content = name ? runPanels(await ask("about", { run: name })) : folderPanels(runs, alive);
  } catch (error) {
    content = [h("h1", {}, name || "genshift studio"), h("p", { class: "error", role: "alert" }, error.message)];
  }
  if (known) content.push(curvePanel([known], alive)); // of a run that has no checkpoint yet, too
  if (alive()) { main.replaceChildren(...content); document.body.dataset.shown = name || "all"; }
}

function runPanels(about) {
  return [h("h1", {}, about.name), h("p", { class: "faint" }, `${about.preset}: ${about.summary}; ${about.checkpoint}`),
    ...about.choice.map((line) => h("p", { class: "good" }, line)), ...about.warnings.map((warning) => h("p", { class: "error" }, warning)), resultTable(about), ...PANELS[about.kind](about)];
}

list.addEventListener("change", () => { location.hash = list.value ? encodeURIComponent(list.value) : ""; });
window.addEventListener("hashchange", show);
show();
