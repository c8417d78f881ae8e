"use strict";
(() => {
  // {name, file, first, classes: [name], keys: [key] or [], pictures: [{name, source, small}]}
  const data = JSON.parse(document.getElementById("data").textContent);
  const { classes, keys, pictures } = data;
  const at = (id) => document.getElementById(id);
  const NONE = "none of these", SKIPPED = "skipped";
  const typed = keys.length === 0; // more classes than keys: their names are typed
  const store = `genshift label ${data.name}`;
  let answers = pictures.map(() => null); // the number of a class, NONE, SKIPPED, or null
  let place = 0, saved = true;

  // --- what the browser keeps, where it does ---
  const keep = () => { try { localStorage.setItem(store, JSON.stringify(answers)); } catch { /* a browser may refuse */ } };
  const restore = () => {
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(store)); } catch { return; }
    const known = (a) => a === null || a === NONE || a === SKIPPED || (Number.isInteger(a) && a >= 0 && a < classes.length);
    if (!Array.isArray(kept) || kept.length !== answers.length || !kept.every(known)) return;
    answers = kept;
    const open = answers.indexOf(null);
    place = open < 0 ? pictures.length : open;
    if (answers.some((a) => a !== null)) { saved = false; say("What was answered here before is back."); }
  };

  // --- what is shown ---
  const say = (text) => { at("said").textContent = text; };
  const matching = () => {
    const wanted = at("typed").value.trim().toLowerCase();
    const numbers = classes.map((_, k) => k);
    if (!wanted) return numbers;
    const named = numbers.filter((k) => classes[k].toLowerCase().startsWith(wanted));
    const whole = named.filter((k) => classes[k].toLowerCase() === wanted);
    return [...whole, ...named.filter((k) => !whole.includes(k))];
  };
  const list = () => {
    const shown = typed ? matching().slice(0, 60) : classes.map((_, k) => k);
    at("classes").replaceChildren(...shown.map((k, i) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.dataset.class = k;
      if (!typed) { const key = document.createElement("kbd"); key.textContent = keys[k]; button.append(key, " "); }
      button.append(document.createTextNode(classes[k]));
      button.classList.toggle("given", answers[place] === k);
      button.classList.toggle("first", typed && i === 0 && at("typed").value.trim() !== "");
      item.append(button);
      return item;
    }));
  };
  const show = () => {
    const given = answers.filter((a) => a !== null).length, over = place >= pictures.length;
    at("progress").textContent = over ? `${given} of ${pictures.length} answered`
      : `Picture ${place + 1} of ${pictures.length}, ${given} answered`;
    at("bar").max = pictures.length;
    at("bar").value = given;
    at("done").hidden = !over;
    at("answers").hidden = over;
    document.querySelector("figure").hidden = over;
    if (over) {
      const named = answers.filter((a) => Number.isInteger(a)).length;
      const none = answers.filter((a) => a === NONE).length;
      at("summary").textContent = `${named} named, ${none} of no class, ${given - named - none} skipped.`;
      return;
    }
    const picture = pictures[place];
    at("picture").src = picture.source;
    at("picture").alt = `picture ${place + 1}`;
    at("picture").classList.toggle("small", picture.small);
    at("name").textContent = picture.name;
    for (const [what, answer] of [["none", NONE], ["skip", SKIPPED]]) {
      document.querySelector(`[data-do="${what}"]`).classList.toggle("given", answers[place] === answer);
    }
    at("typed").value = "";
    list();
    if (typed) at("typed").focus();
  };

  // --- what is done ---
  const answer = (value) => {
    if (place >= pictures.length) return;
    answers[place] = value;
    saved = false;
    keep();
    say(`${pictures[place].name}: ${Number.isInteger(value) ? classes[value] : value}`);
    place += 1;
    show();
  };
  const undo = () => {
    if (place === 0) return say("This is the first picture.");
    place -= 1;
    answers[place] = null;
    saved = false;
    keep();
    say(`${pictures[place].name}: taken back`);
    show();
  };
  const cell = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const csv = () => {
    const lines = ["image_name,label,answer,plan"];
    answers.forEach((a, i) => {
      if (a === null) return;
      const [label, said] = Number.isInteger(a) ? [classes[a], ""] : ["", a];
      lines.push([pictures[i].name, label, said, data.plan].map(cell).join(","));
    });
    return lines.join("\n") + "\n";
  };
  const save = () => {
    if (answers.every((a) => a === null)) return say("Nothing is answered yet.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    link.download = data.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
    say(`Saved as ${data.file} where this browser puts downloads.`);
  };
  const doing = { none: () => answer(NONE), skip: () => answer(SKIPPED), undo, save };

  // --- keys ---
  const keyOf = (event) => {
    const key = event.key.toLowerCase();
    if (keys.includes(key)) return key;
    const [, physical] = /^(?:Key|Digit)(.)$/.exec(event.code) ?? []; // of layouts without Latin letters, or digits unshifted
    return physical ? physical.toLowerCase() : key;
  };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey || event.isComposing) return;
    const over = place >= pictures.length, text = typed && !over ? at("typed").value : "";
    const on = document.activeElement?.closest?.("button"); // reached by Tab: Enter and Space press it
    let act = null;
    if (event.key === "Enter" && (event.ctrlKey || over || (!typed && !on))) act = save;
    else if (event.ctrlKey) return;
    else if (typed && !over && event.key === "Enter" && text.trim() && !on) {
      const [first] = matching();
      act = () => (first === undefined ? say("No class begins so.") : answer(first));
    } else if (event.key === "Backspace" && !text) act = undo;
    else if (event.key === " " && !text.trim() && !on) act = doing.skip;
    else if (event.key === "-" && !text) act = doing.none;
    else if (!typed && keys.includes(keyOf(event))) act = () => answer(keys.indexOf(keyOf(event)));
    if (act === null || (event.repeat && act !== undo)) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.class !== undefined) answer(Number(button.dataset.class));
    else doing[button.dataset.do]();
    button.blur(); // the next Enter saves, and presses nothing
  });
  at("typed").addEventListener("input", list);
  window.addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });

  at("typing").hidden = !typed;
  if (typed) at("save-key").textContent = "Ctrl Enter";
  at("file").textContent = data.file;
  restore();
  show();
  document.body.dataset.ready = "";
})();
