// The browser of test cases. It reads the JSON in #case-data, makes no request, and keeps its state in the page alone; the case
// that is shown stands in the address, as #case=NAME.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("case-data").textContent);
  const models = Object.keys(data.models);
  const shipped = data.shipped;
  const at = (id) => document.getElementById(id);
  const section = at("browser");
  const numbers = new Map(data.cases.map((item, index) => [item.name, index]));
  const view = { heat: "", differences: false, opacity: 1, swipe: false, left: models[0], right: shipped, split: 50, zoom: 1, x: 0, y: 0 };
  const shown = new Set(["truth", ...models]);
  let order = data.cases.map((_, index) => index);
  let sorted = { column: "frame", down: false };
  let current = -1;

  // ---- small things

  function make(tag, attributes = {}, ...children) {
    const element = tag === "svg" || tag === "path" || tag === "g" || tag === "clipPath"
      ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const score = (value) => (value === null ? "n/a" : value.toFixed(3));
  const outcome = (item) => data.kinds[item.models[shipped].kind];

  // ---- the list: columns, sorting, filters

  const kindOrder = Object.keys(data.kinds);
  const columns = [
    { id: "frame", head: "Frame", value: (item) => item.name, text: (item) => item.name },
    { id: "subject", head: "Subject", value: (item) => item.subject, text: (item) => item.subject },
    { id: "nerve", head: "Nerve", value: (item) => item.area / (item.size[0] * item.size[1]),
      text: (item) => (item.nerve ? `${(100 * item.area / (item.size[0] * item.size[1])).toFixed(1)} %` : "none") },
    ...models.map((model) => ({ id: `dice-${model}`, head: `Dice, ${data.models[model].label}`,
      value: (item) => item.models[model].dice, text: (item) => score(item.models[model].dice) })),
    { id: "hd95", head: "HD95", value: (item) => item.models[shipped].hd95,
      text: (item) => (item.models[shipped].hd95 === null ? "" : item.models[shipped].hd95.toFixed(1)) },
    { id: "confidence", head: "Confidence", value: (item) => item.models[shipped].confidence,
      text: (item) => score(item.models[shipped].confidence) },
    { id: "outcome", head: "Outcome", value: (item) => kindOrder.indexOf(item.models[shipped].kind), text: (item) => item.models[shipped].kind },
  ];
  const byName = new Intl.Collator("en", { numeric: true });

  const heads = columns.map((column) => {
    const button = make("button", { type: "button" }, column.head, make("span", { "aria-hidden": "true", class: "arrow" }));
    const head = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      sorted = { column: column.id, down: sorted.column === column.id && !sorted.down };
      arrange();
    });
    return head;
  });
  at("case-head").append(...heads);

  const rows = data.cases.map((item) => {
    const link = make("a", { href: `#case=${encodeURIComponent(item.name)}`, tabindex: "-1" }, item.name);
    const cells = columns.slice(1).map((column) => make("td", {}, column.text(item)));
    return make("tr", {}, make("th", { scope: "row" }, link), ...cells);
  });
  const linkOf = (index) => rows[index].querySelector("a");

  function matches(item) {
    const text = at("find").value.trim().toLowerCase();
    const dice = item.models[shipped].dice;
    const [least, most] = [at("least").value, at("most").value];
    return (!text || item.name.toLowerCase().includes(text) || item.subject.toLowerCase().includes(text))
      && (!at("of-subject").value || item.subject === at("of-subject").value)
      && (!at("of-nerve").value || item.nerve === (at("of-nerve").value === "yes"))
      && (!at("of-outcome").value || item.models[shipped].kind === at("of-outcome").value)
      && (least === "" || dice >= Number(least)) && (most === "" || dice <= Number(most));
  }

  function arrange() {
    const column = columns.find((each) => each.id === sorted.column);
    const keyed = data.cases.map((item, index) => [column.value(item), index]).filter(([, index]) => matches(data.cases[index]));
    keyed.sort(([one, first], [other, second]) => {
      if (one === null || other === null) return (one === null) - (other === null) || first - second; // unknown ones come last
      const difference = typeof one === "string" ? byName.compare(one, other) : one - other;
      return (sorted.down ? -difference : difference) || first - second;
    });
    order = keyed.map(([, index]) => index);
    heads.forEach((head, number) => {
      const mine = columns[number].id === sorted.column;
      if (mine) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = mine ? (sorted.down ? " ▼" : " ▲") : "";
    });
    at("case-rows").replaceChildren(...order.map((index) => rows[index]));
    at("case-count").textContent = `${order.length} of ${data.cases.length} frames`;
    at("nothing").hidden = order.length > 0;
    at("case-list").scrollTop = 0;
    mark();
  }

  function mark() {
    rows.forEach((row, index) => {
      row.classList.toggle("current", index === current);
      linkOf(index).tabIndex = index === current ? 0 : -1;
      if (index === current) linkOf(index).setAttribute("aria-current", "true");
      else linkOf(index).removeAttribute("aria-current");
    });
    if (order.length && !order.includes(current)) linkOf(order[0]).tabIndex = 0; // so that Tab reaches the list
    const place = order.indexOf(current);
    at("previous").disabled = !order.length || place === 0;
    at("next").disabled = !order.length || place === order.length - 1;
  }

  const subjects = [...new Set(data.cases.map((item) => item.subject))].sort(byName.compare);
  at("of-subject").append(...subjects.map((name) => make("option", { value: name }, name)));
  const present = kindOrder.filter((kind) => data.cases.some((item) => item.models[shipped].kind === kind));
  at("of-outcome").append(...present.map((kind) => make("option", { value: kind }, kind)));
  at("filters").addEventListener("input", arrange);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", () => setTimeout(arrange));
  at("case-rows").addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    step(way);
    if (current >= 0) linkOf(current).focus();
  });

  // ---- the picture

  const stage = at("stage"), moved = at("moved"), picture = at("frame");
  const heats = { left: at("heat-left"), right: at("heat-right") };
  const palette = Uint8ClampedArray.from(atob(data.palette), (letter) => letter.charCodeAt(0));
  const DASHES = ["8 4", "3 3", "1 4"];
  const layers = new Map();
  for (const [name, colour, dash] of [["truth", data.truth, ""], ...models.map((m, n) => [m, data.models[m].colour, DASHES[n]])]) {
    const casing = make("path", { class: "casing" }), line = make("path", { class: "line", stroke: colour, "stroke-dasharray": dash });
    const svg = make("svg", { class: "layer", preserveAspectRatio: "none", "data-layer": name }, casing, line);
    moved.append(svg);
    layers.set(name, { svg, paths: [casing, line] });
  }
  const agreement = make("svg", { class: "layer", preserveAspectRatio: "none", "data-layer": "differences" });
  moved.insertBefore(agreement, layers.get("truth").svg);

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

  function drawDifferences(item, model) {
    agreement.replaceChildren();
    if (!view.differences) return;
    const predicted = item.models[model].outline;
    const clip = (id, path) => make("clipPath", { id }, make("path", { d: path || "M-9 -9z", "clip-rule": "evenodd" }));
    const both = item.truth + predicted; // by the rule evenodd: what is in one of them alone
    const part = (path, inside, kind) =>
      make("path", { d: path, "fill-rule": "evenodd", "clip-path": `url(#${inside})`, "data-part": kind });
    agreement.append(clip("in-truth", item.truth), clip("in-prediction", predicted));
    if (item.truth && predicted) agreement.append(part(item.truth, "in-prediction", "tp"));
    if (item.truth) agreement.append(part(both, "in-truth", "fn"));
    if (predicted) agreement.append(part(both, "in-prediction", "fp"));
  }

  function draw() {
    if (current < 0) return;
    const item = data.cases[current];
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
    drawDifferences(item, view.swipe ? view.right : shipped);
    const heat = (model) => (view.heat === "uncertainty" ? item.uncertainty : view.heat ? item.models[model].heat : "");
    const alone = models.includes(view.heat) ? view.heat : shipped;
    paint(heats.left, view.swipe && view.heat !== "uncertainty" ? heat(view.left) : "");
    paint(heats.right, heat(view.swipe ? view.right : alone));
    heats.left.style.clipPath = left;
    heats.right.style.clipPath = view.swipe && view.heat !== "uncertainty" ? right : whole;
    for (const layer of moved.querySelectorAll(".layer")) layer.style.opacity = view.opacity;
    at("divider").hidden = !view.swipe;
    at("divider").style.left = `${view.split}%`;
    at("bar").hidden = !view.heat;
    at("bar-label").textContent = view.heat === "uncertainty" ? "Entropy of the probability (bits)" : "Probability of nerve";
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

  // ---- a case

  function select(index, { scroll = true } = {}) {
    current = index;
    const item = data.cases[index];
    at("case-title").textContent = `Frame ${item.name}, subject ${item.subject}`;
    at("case-outcome").textContent = `${data.models[shipped].label}: ${outcome(item)}.`
      + (item.nerve ? ` Annotated: ${item.area} pixels.` : "");
    picture.src = `data:image/webp;base64,${item.frame}`;
    picture.alt = `Ultrasound frame ${item.name}; ${data.models[shipped].label}: ${outcome(item)}`;
    const measures = [
      ["Dice", "dice", 3], ["IoU", "iou", 3], ["HD95 (pixels)", "hd95", 1], ["HD95 (mm)", "hd95_mm", 2],
      ["Distance of centres (pixels)", "centroid_distance", 1], ["Distance of centres (mm)", "centroid_distance_mm", 2],
      ["Area (pixels)", "predicted_area", 0], ["Presence", "presence", 3], ["Confidence", "confidence", 3],
    ];
    const told = measures.filter(([, key]) => models.some((model) => item.models[model][key] !== null));
    at("case-scores").replaceChildren(...told.map(([name, key, digits]) => make("tr", {}, make("th", { scope: "row" }, name),
      ...models.map((model) => make("td", {}, item.models[model][key] === null ? "n/a" : item.models[model][key].toFixed(digits))))));
    mark();
    draw();
    if (!scroll) return;
    const list = at("case-list"), row = rows[index];
    if (row.isConnected) list.scrollTop = Math.max(0, row.offsetTop - list.clientHeight / 2);
  }

  function step(way) {
    if (!order.length) return;
    const place = order.indexOf(current);
    const next = place < 0 ? (way > 0 ? 0 : order.length - 1) : Math.min(order.length - 1, Math.max(0, place + way));
    open(data.cases[order[next]].name);
  }

  function open(name) {
    history.replaceState(null, "", `#case=${encodeURIComponent(name)}`);
    follow();
  }

  /** Show the case that the address names, and say whether it names one. */
  function follow() {
    const found = /^#case=(.+)$/.exec(location.hash);
    if (!found) return false;
    let name = found[1];
    try { name = decodeURIComponent(name); } catch { /* not encoded as we do: take it as it stands */ }
    const known = numbers.has(name);
    at("unknown").hidden = known;
    at("unknown").textContent = known ? "" : `There is no test frame called “${name}” in this report.`;
    if (known) select(numbers.get(name));
    return true;
  }

  // ---- controls

  const toggles = [["truth", "Annotation", data.truth], ...models.map((model) => [model, data.models[model].label, data.models[model].colour])];
  at("toggles").append(...toggles.map(([name, label, colour]) => {
    const box = make("input", { type: "checkbox", id: `show-${name}` });
    box.checked = true;
    box.addEventListener("change", () => { shown[box.checked ? "add" : "delete"](name); draw(); });
    const swatch = make("span", { class: `swatch ${name === "truth" ? "" : "dashed"}`, "aria-hidden": "true" });
    swatch.style.borderColor = colour;
    return make("label", {}, box, swatch, label);
  }));
  const choices = models.map((model) => [model, data.models[model].label]);
  at("heat").append(...choices.map(([model, label]) => make("option", { value: model }, `probability, ${label}`)),
    make("option", { value: "uncertainty" }, `uncertainty, ${data.models[shipped].label}`));
  for (const side of ["left", "right"]) {
    at(`swipe-${side}`).append(...choices.map(([model, label]) => make("option", { value: model }, label)));
    at(`swipe-${side}`).value = view[side];
    at(`swipe-${side}`).addEventListener("change", (event) => { view[side] = event.target.value; draw(); });
  }
  at("differences").addEventListener("change", (event) => { view.differences = event.target.checked; draw(); });
  at("heat").addEventListener("change", (event) => { view.heat = event.target.value; draw(); });
  at("opacity").addEventListener("input", (event) => { view.opacity = event.target.value / 100; draw(); });
  at("swipe").addEventListener("change", (event) => {
    view.swipe = event.target.checked;
    for (const id of ["swipe-left", "swipe-right", "split"]) at(id).disabled = !view.swipe;
    draw();
  });
  at("split").addEventListener("input", (event) => { view.split = Number(event.target.value); draw(); });
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("zoom-in").addEventListener("click", () => zoom(1.5));
  at("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  at("zoom-off").addEventListener("click", () => zoom(0));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || current < 0) return;
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    const inside = stage.contains(event.target);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.shiftKey && way && inside) {
      view.x -= way[0] / 10;
      view.y -= way[1] / 10;
      place();
    } else if (way && way[0] && !event.shiftKey && !typing && !event.target.closest(".scroll:not(#case-list)")) {
      step(way[0]);
    } else if (inside && "+=-0".includes(event.key)) {
      zoom({ "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[event.key]);
    } else return;
    event.preventDefault();
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // else the page scrolls
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
  }, { passive: false });
  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    if (view.zoom <= 1) return;
    grip = { x: event.clientX, y: event.clientY };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!grip) return;
    view.x += (event.clientX - grip.x) / stage.clientWidth;
    view.y += (event.clientY - grip.y) / stage.clientHeight;
    grip = { x: event.clientX, y: event.clientY };
    place();
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { grip = null; });

  const bar = at("bar-colours"), ramp = bar.getContext("2d").createImageData(256, 1);
  ramp.data.set(palette);
  bar.getContext("2d").putImageData(ramp, 0, 0);

  // ---- begin

  at("case-models").append(...models.map((model) => make("th", { scope: "col" }, data.models[model].label)));
  section.hidden = false;
  at("asleep").hidden = true;
  arrange();
  window.addEventListener("hashchange", follow);
  document.addEventListener("case", (event) => {
    open(event.detail);
    at("cases").scrollIntoView();
  });
  if (!follow()) select(order[0], { scroll: false });
  else {
    if (current < 0) select(order[0], { scroll: false });
    at("cases").scrollIntoView();
  }
})();
