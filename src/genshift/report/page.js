"use strict";
(() => {
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const waiting = [...document.querySelectorAll(".plot")].map((plot) => plot.closest("figure"));

  // On paper a drawing scales by its viewBox, whatever width the screen had.
  const scalable = (plot) => {
    const svgs = plot.querySelectorAll(".main-svg");
    const { width, height } = plot._fullLayout;
    svgs.forEach((svg) => svg.setAttribute("viewBox", `0 0 ${width} ${height}`));
    plot.style.setProperty("--shape", `${width} / ${height}`);
  };

  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    if (touch) spec.layout.dragmode = false; // a finger scrolls the page
    Plotly.newPlot(plot, spec.data, spec.layout, config);
    plot.on("plotly_afterplot", () => scalable(plot));
    scalable(plot);
  };

  // The one nearest to what is being read, of those that are shown: in a choice all others wait until they are chosen.
  const take = () => {
    const away = (figure) => { const { top, bottom } = figure.getBoundingClientRect();
      return Math.max(top - innerHeight, -bottom, 0); };
    const [nearest] = waiting.filter((figure) => !figure.closest("[hidden]"))
      .map((figure) => [away(figure), figure]).sort(([one], [other]) => one - other);
    return nearest && waiting.splice(waiting.indexOf(nearest[1]), 1)[0];
  };

  // One figure a turn, so that a long page can be read while it draws.
  const next = () => {
    const figure = take();
    if (figure) { draw(figure); setTimeout(next, 0); } else { document.body.dataset.ready = "yes"; }
  };
  next();

  document.querySelectorAll(".options button").forEach((button) => button.addEventListener("click", () => {
    const choice = button.closest(".choice");
    const panels = [...choice.children].filter((child) => child.classList.contains("chosen"));
    [...button.parentElement.children].forEach((other, place) => {
      other.setAttribute("aria-pressed", String(other === button));
      panels[place].hidden = other !== button;
    });
    delete document.body.dataset.ready;
    next();
    const shown = choice.querySelector(":scope > .chosen:not([hidden])");
    if (shown.getBoundingClientRect().top > 0.8 * innerHeight) shown.scrollIntoView();
    shown.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot)); // the window may have changed
  }));

  document.querySelectorAll(".legend button").forEach((button) => button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    button.closest(".family").querySelectorAll("[data-by-class] .plot").forEach((plot) =>
      Plotly.restyle(plot, { visible: shown }, [Number(button.dataset.class)]));
  }));

  // Pixels stay square where a picture is enlarged; where it is made smaller the browser's smoothing is right.
  const enlarge = () => document.querySelectorAll("img").forEach((image) =>
    image.classList.toggle("larger", image.clientWidth * devicePixelRatio > image.naturalWidth));
  addEventListener("load", enlarge);
  addEventListener("resize", enlarge);

  let folded = [];
  addEventListener("beforeprint", () => {
    for (let figure = take(); figure; figure = take()) draw(figure);
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
})();
