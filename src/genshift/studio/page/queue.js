// Pictures of the target to label: the same plan and records as `genshift label`'s.
import { ask, field, h, number, saying } from "./lib.js";

const NONE = "none of these", SKIPPED = "skipped";

export function queuePanel(about) {
  const { line, attempt } = saying();
  const count = number(50, { min: 1, max: 1000, step: 1 });
  const lines = h("div", { id: "interval" }), stage = h("div");
  const tell = (said) => lines.replaceChildren(...said.map((one) => h("p", { class: "good" }, one)));
  attempt(async () => {
    const known = await ask("queue", { run: about.name });
    if (known.drawn) count.value = known.drawn;
    tell(known.lines);
  });
  const draw = () => attempt(async () => {
    const drawn = await ask("queue-draw", { run: about.name, count: Number(count.value) });
    label(drawn);
  });
  function label(drawn) {
    const answers = new Map(); // a picture's place to {label, said}
    let place = 0;
    const progress = h("p", { class: "faint" }), shown = h("img", { class: "large", alt: "" }), said = h("p", { class: "faint" });
    const update = () => {
      const over = place >= drawn.pictures.length;
      progress.textContent = over ? `${answers.size} of ${drawn.pictures.length} answered: save them.` : `Picture ${place + 1} of ${drawn.pictures.length}, ${answers.size} answered`;
      shown.hidden = over;
      if (!over) { shown.src = drawn.pictures[place].source; shown.className = drawn.pictures[place].small ? "large" : "large smooth"; shown.alt = drawn.pictures[place].name; }
      save.disabled = answers.size === 0;
    };
    const give = (value) => { if (place < drawn.pictures.length) { answers.set(place, value); place += 1; update(); } };
    const undo = () => { if (place) { place -= 1; answers.delete(place); update(); } };
    const classes = drawn.classes.map((name, k) => h("button", { type: "button", click: () => give({ label: k }) }, name, drawn.keys[k] && drawn.keys[k] !== name ? h("kbd", {}, drawn.keys[k]) : null));
    const others = [["none of these", "-", () => give({ label: -1, said: NONE })], ["skip", "Space", () => give({ label: -1, said: SKIPPED })], ["back", "Backspace", undo]];
    const save = h("button", { type: "button", class: "main" }, "Save the labels, and tell the accuracy");
    save.addEventListener("click", () => attempt(async () => {
      save.disabled = true;
      try {
        const found = await ask("queue-save", { run: about.name, plan: drawn.plan, first: drawn.first, answers: Object.fromEntries(answers) });
        tell(found.lines);
        stage.replaceChildren(h("p", { class: "faint" }, `Saved as labels/${found.file} in the run.`));
        count.value = drawn.last + (found.more || 50);
      } finally { save.disabled = false; }
    }));
    const box = h("div", { tabIndex: 0, "aria-label": "label by keyboard" }, progress, shown, h("div", { class: "names" }, classes),
      h("div", { class: "names" }, others.map(([name, key, act]) => h("button", { type: "button", click: act }, name, h("kbd", {}, key)))), said, save);
    box.addEventListener("keydown", (event) => {
      if (event.target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key)) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.toLowerCase(), known = drawn.keys.indexOf(key);
      const act = known >= 0 ? () => give({ label: known }) : { "-": others[0][2], " ": others[1][2], backspace: undo }[key];
      if (act) { event.preventDefault(); act(); }
    });
    stage.replaceChildren(box);
    update();
    box.focus({ preventScroll: true });
  }
  return h("section", { id: "queue" }, h("h2", {}, "Label a few pictures of the target"),
    h("p", { class: "faint" }, "They are drawn at random within strata of confidence, and say how accurate the run is. Drawing writes the plan into the run's folder labels/, saving writes a CSV there; nothing else is written."),
    lines, h("div", { class: "row" }, field("pictures in all", count), h("button", { type: "button", class: "main", click: draw }, "Draw pictures to label")), line, stage);
}
