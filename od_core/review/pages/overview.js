"use strict";

function overviewPage() {
  const { counts, classes, failures, metrics, hasTruth, minScore } = boxbeam.data;
  const facts = [
    ["pictures", counts.images], ["videos", counts.videos], ["frames of videos", counts.frames],
    ["detections", counts.detections], ["with nothing found", counts.empty],
    ["failures", counts.failed], ["originals not shown", counts.notShown],
  ];
  if (hasTruth) facts.splice(4, 0, ["annotated", counts.annotated]);
  const body = make("tbody");
  const sum = make("p", { class: "quiet", "aria-live": "polite" });

  function fill() {
    const rows = classes.map((entry) => classRow(entry)).filter((row) => row !== null);
    body.replaceChildren(...rows.map((row) => row.element));
    const total = (name) => rows.reduce((all, row) => all + row[name], 0);
    const here = `${shown(total("found"))} detections of score ${boxbeam.threshold.toFixed(2)} and better`;
    const right = total("tp"), wrong = total("fp"), missed = total("missed");
    sum.textContent = hasTruth
      ? `${here}: precision ${share(right, right + wrong)}, recall ${share(right, right + missed)}. Objects count as found from IoU 0.5 on.`
      : `${here}. Those below ${minScore} are not on these pages.`;
  }
  fill();
  return {
    title: "Overview",
    changed: fill,
    element: make("div", { class: "overview" },
      make("dl", { class: "facts" }, facts.filter(([, n]) => n).map(([name, n]) => make("div", {}, make("dt", {}, name), make("dd", {}, shown(n))))),
      make("section", {}, make("h2", {}, "Classes"), sum,
        make("div", { class: "wide" }, make("table", { class: "classes" }, make("thead", {}, make("tr", {},
          ["class", "detections", "scores"].map(headCell),
          hasTruth && ["right", "wrong", "missed", "precision", "recall"].map(headCell))), body))),
      metrics.length > 0 && metricsSection(metrics),
      failures.length > 0 && make("section", {}, make("h2", {}, "Failures"), failures.map(failureGroup))),
  };
}

function headCell(text) {
  return make("th", { scope: "col" }, text);
}

function classRow([id, name, colour, counts]) {
  if (!Object.keys(counts).length) return null;
  const { bins, hasTruth } = boxbeam.data;
  const first = Math.round(boxbeam.threshold * bins);
  const from = (mark) => (counts[mark] || []).slice(first).reduce((a, b) => a + b, 0);
  const tp = from("tp"), fp = from("fp"), found = tp + fp + from("found") + from("ignored");
  const missed = (counts.fn || []).slice(0, first).reduce((a, b) => a + b, 0);
  const link = (number, show) => make("td", { class: "number" }, number
    ? make("a", { href: galleryLink({ class: id, show }) }, shown(number)) : "0");
  const element = make("tr", {},
    make("th", { scope: "row" }, chip(colour), make("a", { href: galleryLink({ class: id }) }, name)),
    link(found, "detections"),
    make("td", {}, histogram(counts)),
    hasTruth && [link(tp, "tp"), link(fp, "fp"), link(missed, "fn"),
      make("td", { class: "number" }, share(tp, tp + fp)), make("td", { class: "number" }, share(tp, tp + missed))]);
  return { element, found, tp, fp, missed };
}

// Counts by score, wrong ones on top of right ones; each class in its own scale.
function histogram(counts) {
  const { bins } = boxbeam.data;
  const layers = ["tp", "ignored", "found", "fp"].filter((mark) => counts[mark]);
  const totals = Array.from({ length: bins }, (_, bin) => layers.reduce((all, mark) => all + counts[mark][bin], 0));
  const top = Math.max(1, ...totals);
  const svg = draw("svg", { viewBox: `0 0 ${bins * 6} 32`, class: "histogram", role: "img" });
  svg.setAttribute("aria-label", `detections by score, from 0 to 1 in ${bins} steps: ${totals.join(", ")}`);
  for (let bin = 0; bin < bins; bin++) {
    let y = 32;
    for (const mark of layers) {
      const height = (counts[mark][bin] / top) * 30;
      if (!height) continue;
      y -= Math.max(height, 0.8);
      const faded = (bin + 0.5) / bins < boxbeam.threshold ? " faded" : "";
      svg.append(draw("rect", { x: bin * 6, y, width: 5, height: Math.max(height, 0.8), class: `bar ${mark}${faded}` }));
    }
  }
  return svg;
}

function metricsSection(metrics) {
  const rows = metrics.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name),
    make("td", { class: "number" }, value === null || value < 0 ? "–" : value.toFixed(4))));
  return make("section", {}, make("h2", {}, "Evaluation"),
    make("details", { open: metrics.length <= 40 }, make("summary", {}, `${shown(metrics.length)} numbers`),
      make("div", { class: "wide" }, make("table", { class: "metrics" }, make("tbody", {}, rows)))));
}

function failureGroup({ stage, type, total, first }) {
  const items = first.map(([name, message]) => make("li", {}, make("b", {}, name), ` ${message}`));
  const more = total > first.length ? make("p", { class: "quiet" }, `and ${shown(total - first.length)} more`) : null;
  return make("details", {}, make("summary", {}, `${shown(total)} × ${type}`, make("span", { class: "quiet" }, ` in ${stage}`)),
    make("ul", {}, items), more);
}
