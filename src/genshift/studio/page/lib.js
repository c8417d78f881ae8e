// What every part of the page uses: elements, questions to the studio, fields.

export const COLOURS = [
  "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
];

// An element with properties (a function is a listener, `class` and `for` and data-… attributes) and children.
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

async function post(name, body, signal) {
  let response;
  try {
    response = await fetch(`/do/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The studio does not answer: it was closed, or is busy; start it again, and reload this page.");
  }
  return response;
}

// One answer; an Error with the studio's sentence where it refuses.
export async function ask(name, body = {}, signal = undefined) {
  const response = await post(name, body, signal);
  const found = await response.json();
  if (!response.ok) throw new Error(found.error);
  return found;
}

// Several answers as they come.
export async function stream(name, body, each, signal) {
  const response = await post(name, body, signal);
  if (!response.ok) throw new Error((await response.json()).error);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const found = JSON.parse(line);
      if (found.error) throw new Error(found.error);
      each(found);
    }
    if (done) return;
  }
}

// A line that says what went wrong, and a function that runs work and says so there.
export function saying() {
  const line = h("p", { class: "said", role: "status" });
  const attempt = async (work) => {
    line.textContent = "";
    try { return await work(); } catch (error) {
      if (error.name !== "AbortError") line.textContent = error.message;
      return undefined;
    }
  };
  return { line, attempt };
}

// Calls `work` for the newest of many wishes: one at a time, and the last one always.
export function newest(work) {
  let busy = false, wanted = null;
  return async (wish) => {
    wanted = { wish };
    if (busy) return;
    busy = true;
    while (wanted) { const { wish: next } = wanted; wanted = null; await work(next); }
    busy = false;
  };
}

let fields = 0;
export function field(title, control) {
  control.id ||= `field-${(fields += 1)}`;
  return h("div", { class: "field" }, h("label", { for: control.id }, title), control);
}

export const number = (value, props = {}) => h("input", { type: "number", value, ...props });

export function choice(options, value, props = {}) {
  const select = h("select", props, options.map(([key, title]) => h("option", { value: key }, title)));
  select.value = value;
  return select;
}

export const picture = (source, alt, kind = "shown") => h("img", { src: source, alt, class: kind });

export const randomSeed = () => Math.floor(Math.random() * 1e6);

// The place of a class: the list's, "" for turns or the first.
export function classChoice(about, first = null) {
  if (!about.classes.length) return null;
  const options = about.classes.map((name, place) => [String(place), name]);
  return choice(first ? [first, ...options] : options, first ? first[0] : "0");
}

export const labelOf = (select) => (select && select.value !== "" ? Number(select.value) : null);

export const shortNumber = (value) => (value === null || value === undefined ? "–"
  : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4))));
