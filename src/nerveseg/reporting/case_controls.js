// The browser of test cases: it joins list and viewer, and wires their controls. It reads the JSON in #case-data, makes no request,
// and keeps its state in the page; the address names the case that is shown, as #case=NAME.
"use strict";
(() => {
  const data = JSON.parse(at("case-data").textContent);
  const models = Object.entries(data.models);
  const numbers = new Map(data.cases.map((item, index) => [item.name, index]));
  at("browser").hidden = false;
  at("asleep").hidden = true;
  const list = caseList(data, open);
  const viewer = caseViewer(data);
  const { view, shown, draw, place, zoom } = viewer;
  const stage = at("stage");
  const narrow = matchMedia("(max-width: 60rem)"); // as in the style sheet: the viewer stands below the list, not beside it
  let begun = false;

  function select(index, scroll = true) {
    begun = true;
    list.select(index, scroll);
    viewer.show(data.cases[index]);
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

  /** Bring the frame into view, or what says that there is none of that name. */
  function reveal() {
    at(narrow.matches && at("unknown").hidden ? "viewer" : "cases").scrollIntoView();
  }

  const toggles = [["truth", "Annotation", data.truth], ...models.map(([model, { label, colour }]) => [model, label, colour])];
  at("toggles").append(...toggles.map(([name, label, colour]) => {
    const box = make("input", { type: "checkbox", id: `show-${name}` });
    box.checked = true;
    box.addEventListener("change", () => { shown[box.checked ? "add" : "delete"](name); draw(); });
    const swatch = make("span", { class: `swatch ${name === "truth" ? "" : "dashed"}`, "aria-hidden": "true" });
    swatch.style.borderColor = colour;
    return make("label", {}, box, swatch, label);
  }));
  const options = () => models.map(([model, { label }]) => make("option", { value: model }, label));
  at("heat").append(...models.map(([model, { label }]) => make("option", { value: model }, `probability, ${label}`)),
    make("option", { value: "uncertainty" }, `uncertainty, ${data.models[data.shipped].label}`));
  for (const side of ["left", "right"]) {
    at(`swipe-${side}`).append(...options());
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
  at("zoom-in").addEventListener("click", () => zoom(1.5));
  at("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  at("zoom-off").addEventListener("click", () => zoom(0));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    const inside = stage.contains(event.target);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.shiftKey && way && inside) {
      view.x -= way[0] / 10;
      view.y -= way[1] / 10;
      place();
    } else if (way && way[0] && !event.shiftKey && !typing && !event.target.closest(".scroll:not(#case-list)")) {
      list.step(way[0]);
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

  window.addEventListener("hashchange", follow);
  at("case-rows").addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) reveal(); });
  document.addEventListener("case", (event) => {
    open(event.detail);
    reveal();
  });
  const named = follow();
  if (!begun) select(list.first ?? 0, false);
  if (named) reveal();
})();
