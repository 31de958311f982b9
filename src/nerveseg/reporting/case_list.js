// The list of test cases: columns, sorting, filters. `at` and `make` serve the other scripts of the case browser, too.
"use strict";

const at = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = ["svg", "path", "clipPath"].includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Fill the list; `open(name)` is called to show a case. */
function caseList(data, open) {
  const { cases, shipped } = data;
  const kinds = Object.keys(data.kinds);
  const byName = new Intl.Collator("en", { numeric: true });
  let order = []; // of the cases that the filters let through
  let sorted = { column: `dice-${shipped}`, down: false }; // the worst first
  let current = -1;

  const score = (key, model, head, none = "n/a") => {
    const { digits } = data.columns.find((column) => column.key === key);
    const value = (item) => item.models[model][key];
    return { id: `${key}-${model}`, head, value, text: (item) => (value(item) === null ? none : value(item).toFixed(digits)) };
  };
  const share = (item) => item.area / (item.size[0] * item.size[1]);
  const columns = [
    { id: "frame", head: "Frame", value: (item) => item.name },
    { id: "subject", head: "Subject", value: (item) => item.subject, text: (item) => item.subject },
    { id: "nerve", head: "Nerve", value: share, text: (item) => (item.nerve ? `${(100 * share(item)).toFixed(1)} %` : "none") },
    ...Object.entries(data.models).map(([model, { label }]) => score("dice", model, `Dice, ${label}`)),
    score("hd95", shipped, "HD95", ""),
    score("confidence", shipped, "Confidence"),
    { id: "outcome", head: "Outcome", value: (item) => kinds.indexOf(item.models[shipped].kind), text: (item) => item.models[shipped].kind },
  ];

  const heads = columns.map((column) => {
    const button = make("button", { type: "button" }, column.head, make("span", { "aria-hidden": "true", class: "arrow" }));
    button.addEventListener("click", () => {
      sorted = { column: column.id, down: sorted.column === column.id && !sorted.down };
      arrange();
    });
    return make("th", { scope: "col" }, button);
  });
  at("case-head").append(...heads);

  const rows = cases.map((item) => {
    const link = make("a", { href: `#case=${encodeURIComponent(item.name)}`, tabindex: "-1" }, item.name);
    const cells = columns.slice(1).map((column) => make("td", {}, column.text(item)));
    return make("tr", {}, make("th", { scope: "row" }, link), ...cells);
  });
  const linkOf = (index) => rows[index].querySelector("a");

  function matches(item) {
    const text = at("find").value.trim().toLowerCase();
    const { dice, kind } = item.models[shipped];
    const [least, most] = [at("least").value, at("most").value];
    return (!text || item.name.toLowerCase().includes(text) || item.subject.toLowerCase().includes(text))
      && (!at("of-subject").value || item.subject === at("of-subject").value)
      && (!at("of-nerve").value || item.nerve === (at("of-nerve").value === "yes"))
      && (!at("of-outcome").value || kind === at("of-outcome").value)
      && (least === "" || dice >= Number(least)) && (most === "" || dice <= Number(most));
  }

  function arrange() {
    const column = columns.find((each) => each.id === sorted.column);
    const keyed = cases.map((item, index) => [column.value(item), index]).filter(([, index]) => matches(cases[index]));
    keyed.sort(([one, first], [other, second]) => {
      const names = byName.compare(cases[first].name, cases[second].name);
      if (one === null || other === null) return (one === null) - (other === null) || names; // unknown ones come last
      const difference = typeof one === "string" ? byName.compare(one, other) : one - other;
      return (sorted.down ? -difference : difference) || names;
    });
    order = keyed.map(([, index]) => index);
    heads.forEach((head, number) => {
      const mine = columns[number].id === sorted.column;
      if (mine) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = mine ? (sorted.down ? " ▼" : " ▲") : "";
    });
    at("case-rows").replaceChildren(...order.map((index) => rows[index]));
    at("case-count").textContent = `${order.length} of ${cases.length} frames`;
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

  function select(index, scroll) {
    current = index;
    mark();
    const list = at("case-list"), row = rows[index];
    if (scroll && row.isConnected) list.scrollTop = Math.max(0, row.offsetTop - list.clientHeight / 2);
  }

  function step(way) {
    if (!order.length) return;
    const place = order.indexOf(current);
    const next = place < 0 ? (way > 0 ? 0 : order.length - 1) : Math.min(order.length - 1, Math.max(0, place + way));
    open(cases[order[next]].name);
  }

  const subjects = [...new Set(cases.map((item) => item.subject))].sort(byName.compare);
  at("of-subject").append(...subjects.map((name) => make("option", { value: name }, name)));
  const present = kinds.filter((kind) => cases.some((item) => item.models[shipped].kind === kind));
  at("of-outcome").append(...present.map((kind) => make("option", { value: kind }, kind)));
  at("filters").addEventListener("input", arrange);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", () => setTimeout(arrange));
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("case-rows").addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    step(way);
    if (current >= 0) linkOf(current).focus();
  });
  arrange();
  return { select, step, first: order[0] };
}
