// The picture of one test case: frame, outlines, heatmaps, differences, and how it is zoomed and moved.
"use strict";

/** Draw cases. The caller changes `view` and `shown`, the names of the outlines that are drawn, and calls `draw` or `place`. */
function caseViewer(data) {
  const { models, shipped } = data;
  const names = Object.keys(models);
  const stage = at("stage"), moved = at("moved");
  const heats = { left: at("heat-left"), right: at("heat-right") };
  const palette = Uint8ClampedArray.from(atob(data.palette), (letter) => letter.charCodeAt(0));
  const view = { heat: "", differences: false, opacity: 1, swipe: false, left: names[0], right: shipped, split: 50, zoom: 1, x: 0, y: 0 };
  const shown = new Set(["truth", ...names]);
  const DASHES = ["8 4", "3 3", "1 4"];
  let item = null;

  const layers = new Map();
  for (const [name, colour, dash] of [["truth", data.truth, ""], ...names.map((m, n) => [m, models[m].colour, DASHES[n]])]) {
    const casing = make("path", { class: "casing" }), line = make("path", { class: "line", stroke: colour, "stroke-dasharray": dash });
    const svg = make("svg", { class: "layer", preserveAspectRatio: "none", "data-layer": name }, casing, line);
    moved.append(svg);
    layers.set(name, { svg, paths: [casing, line] });
  }
  const agreement = make("svg", { class: "layer", preserveAspectRatio: "none", "data-layer": "differences" });
  moved.insertBefore(agreement, layers.get("truth").svg);
  const bar = at("bar-colours").getContext("2d"), ramp = bar.createImageData(256, 1);
  ramp.data.set(palette);
  bar.putImageData(ramp, 0, 0);

  const turns = new Map(); // of each canvas, how often it was painted
  function paint(canvas, content) {
    const turn = (turns.get(canvas) || 0) + 1;
    turns.set(canvas, turn);
    canvas.hidden = !content;
    if (!content) return;
    const source = new Image();
    source.onload = () => {
      if (turns.get(canvas) !== turn) return; // another case was chosen meanwhile
      canvas.width = source.width;
      canvas.height = source.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(source, 0, 0);
      const pixels = context.getImageData(0, 0, source.width, source.height);
      for (let place = 0; place < pixels.data.length; place += 4) {
        const level = 4 * pixels.data[place];
        for (let channel = 0; channel < 4; channel += 1) pixels.data[place + channel] = palette[level + channel];
      }
      context.putImageData(pixels, 0, 0);
    };
    source.src = `data:image/webp;base64,${content}`;
  }

  function drawDifferences(model) {
    agreement.replaceChildren();
    if (!view.differences) return;
    const { truth } = item, predicted = item.models[model].outline;
    const clip = (id, path) => make("clipPath", { id }, make("path", { d: path || "M-9 -9z", "clip-rule": "evenodd" }));
    const both = truth + predicted; // by the rule evenodd: what is in one of them alone
    const part = (path, inside, kind) =>
      make("path", { d: path, "fill-rule": "evenodd", "clip-path": `url(#${inside})`, "data-part": kind });
    agreement.append(clip("in-truth", truth), clip("in-prediction", predicted));
    if (truth && predicted) agreement.append(part(truth, "in-prediction", "tp"));
    if (truth) agreement.append(part(both, "in-truth", "fn"));
    if (predicted) agreement.append(part(both, "in-prediction", "fp"));
  }

  function draw() {
    if (!item) return;
    const [height, width] = item.size;
    const box = `-0.5 -0.5 ${2 * width} ${2 * height}`;
    const whole = "inset(0)", left = `inset(0 ${100 - view.split}% 0 0)`, right = `inset(0 0 0 ${view.split}%)`;
    stage.style.aspectRatio = `${width} / ${height}`;
    for (const [name, { svg, paths }] of layers) {
      const outline = name === "truth" ? item.truth : item.models[name].outline;
      svg.setAttribute("viewBox", box);
      for (const path of paths) path.setAttribute("d", outline);
      const on = name === "truth" || !view.swipe ? shown.has(name) : name === view.left || name === view.right;
      svg.style.display = on ? "" : "none";
      const both = view.left === view.right;
      svg.style.clipPath = name === "truth" || !view.swipe || both ? whole : name === view.left ? left : right;
    }
    agreement.setAttribute("viewBox", box);
    drawDifferences(view.swipe ? view.right : shipped);
    const unsure = view.heat === "uncertainty", swiped = view.swipe && !unsure;
    const heat = (model) => (unsure ? item.uncertainty : view.heat ? item.models[model].heat : "");
    const alone = names.includes(view.heat) ? view.heat : shipped;
    paint(heats.left, swiped ? heat(view.left) : "");
    paint(heats.right, heat(view.swipe ? view.right : alone));
    heats.left.style.clipPath = left;
    heats.right.style.clipPath = swiped ? right : whole;
    for (const layer of moved.querySelectorAll(".layer")) layer.style.opacity = view.opacity;
    at("divider").hidden = !view.swipe;
    at("divider").style.left = `${view.split}%`;
    at("bar").hidden = !view.heat;
    at("bar-label").textContent = unsure
      ? "Entropy (bits) of the mean probability of the frame and its mirror image: high, too, where the two disagree"
      : "Probability of nerve";
    place();
  }

  function place() {
    const most = (view.zoom - 1) / 2; // of the stage, that the picture may be moved from its middle
    view.x = Math.min(most, Math.max(-most, view.x));
    view.y = Math.min(most, Math.max(-most, view.y));
    moved.style.transform = `translate(${100 * view.x}%, ${100 * view.y}%) scale(${view.zoom})`;
    stage.classList.toggle("zoomed", view.zoom > 1);
    at("zoom-level").textContent = `${Math.round(100 * view.zoom)} %`;
  }

  function zoom(factor) {
    const next = Math.min(8, Math.max(1, view.zoom * factor));
    view.x *= next / view.zoom;
    view.y *= next / view.zoom;
    view.zoom = next;
    place();
  }

  function show(chosen) {
    item = chosen;
    const outcome = data.kinds[item.models[shipped].kind], label = models[shipped].label;
    at("case-title").textContent = `Frame ${item.name}, subject ${item.subject}`;
    at("case-outcome").textContent = `${label}: ${outcome}.` + (item.nerve ? ` Annotated: ${item.area.toLocaleString("en")} pixels.` : "");
    at("frame").src = `data:image/webp;base64,${item.frame}`;
    at("frame").alt = `Ultrasound frame ${item.name}; ${label}: ${outcome}`;
    const known = data.columns.filter(({ key }) => names.some((model) => item.models[model][key] !== null));
    at("case-scores").replaceChildren(...known.map(({ key, name, digits }) => make("tr", {}, make("th", { scope: "row" }, name),
      ...names.map((model) => make("td", {}, item.models[model][key] === null ? "n/a" : item.models[model][key].toFixed(digits))))));
    draw();
  }

  at("case-models").append(...names.map((model) => make("th", { scope: "col" }, models[model].label)));
  return { view, shown, draw, place, zoom, show };
}
