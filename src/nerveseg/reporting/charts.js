// The charts of the report, drawn by Chart.js from the JSON in #chart-data.
"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("chart-data").textContent);
  const MARKS = ["circle", "rect", "triangle", "rectRot", "crossRot"];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const drawn = [];

  function series(spec, panel) {
    return spec.panels[panel].map((each, number) => ({
      label: each.label,
      data: each.points.map(([x, y, name]) => ({ x, y, name })),
      borderColor: each.colour,
      backgroundColor: spec.joined ? each.colour : `${each.colour}99`,
      borderDash: spec.joined ? each.dash : [],
      pointStyle: MARKS[number % MARKS.length],
      pointRadius: spec.joined ? 2.5 : 3.5,
      pointHoverRadius: 6,
      showLine: spec.joined,
      borderWidth: spec.joined ? 2 : 0,
      order: -number, // later ones lie on top
    }));
  }

  function axis(title, values) {
    const whole = values.every((value) => Number.isInteger(value)) && Math.max(...values) < 1000;
    return { title: { display: true, text: title }, type: "linear", ticks: { maxTicksLimit: 8, maxRotation: 0, ...(whole && { precision: 0 }) } };
  }

  function draw(spec) {
    const canvas = document.getElementById(`chart-${spec.id}`);
    const panel = document.getElementById(`panel-${spec.id}`);
    const chart = new Chart(canvas, {
      type: "scatter",
      data: { datasets: series(spec, panel ? panel.value : Object.keys(spec.panels)[0]) },
      options: {
        animation: still ? false : { duration: 200 },
        maintainAspectRatio: false,
        scales: Object.fromEntries(["x", "y"].map((key, n) => [
          key, axis(spec[key], Object.values(spec.panels).flat().flatMap((each) => each.points.map((point) => point[n])))])),
        plugins: {
          legend: { reverse: true, labels: { usePointStyle: true, boxHeight: 6, pointStyleWidth: 12 } },
          tooltip: {
            callbacks: {
              label: ({ dataset, raw }) => `${dataset.label}${raw.name ? `, ${raw.name}` : ""}: ${raw.y} at ${raw.x}`,
            },
          },
        },
        onClick: (event, [point]) => {
          const name = point && chart.data.datasets[point.datasetIndex].data[point.index].name;
          if (name) document.dispatchEvent(new CustomEvent("case", { detail: name }));
        },
      },
    });
    if (panel) {
      panel.onchange = () => {
        chart.data.datasets = series(spec, panel.value);
        chart.update();
      };
    }
    drawn.push(chart);
  }

  function dress() {
    Chart.defaults.color = colour("--ink");
    Chart.defaults.borderColor = colour("--line");
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    for (const chart of drawn.splice(0)) chart.destroy();
    specs.forEach(draw);
  }

  document.getElementById("charts-shown").hidden = false;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  // After the case browser has come up: what is further down may wait.
  requestAnimationFrame(() => setTimeout(dress));
})();
