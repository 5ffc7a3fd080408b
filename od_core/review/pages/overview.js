"use strict";

const WORST_SHOWN = 6;

function overviewPage() {
  const { counts, failures, metrics, classes, hasTruth, minScore } = boxbeam.data;
  const body = make("tbody");
  const facts = make("dl", { class: "facts", "aria-live": "polite" });
  const worst = make("section", { class: "worst" });
  const overlays = [];

  function fill() {
    const rows = classes.map((entry) => classRow(entry)).filter((row) => row !== null);
    body.replaceChildren(...rows.map((row) => row.element));
    const total = (name) => rows.reduce((all, row) => all + row[name], 0);
    const right = total("tp"), wrong = total("fp"), missed = total("missed");
    const at = `at score ${boxbeam.threshold.toFixed(2)}`;
    const here = [
      hasTruth && fact(share(right, right + wrong), "precision", at, galleryLink({ show: "fp" }), "main"),
      hasTruth && fact(share(right, right + missed), "recall", at, galleryLink({ show: "fn" }), "main"),
      fact(shown(total("found")), "detections", `${at}, of ${shown(counts.detections)}`, galleryLink({ show: "detections" })),
      counts.images && fact(shown(counts.images), counts.images === 1 ? "picture" : "pictures", "", galleryLink({ kind: "picture" })),
      counts.videos && fact(shown(counts.videos), counts.videos === 1 ? "video" : "videos", `${shown(counts.frames)} frames`, galleryLink({ kind: "video" })),
      counts.empty && fact(shown(counts.empty), "with nothing found", `at score ${minScore}`, galleryLink({ show: "empty" })),
      hasTruth && fact(shown(counts.annotated), "annotated", "pictures and frames"),
      counts.failed && fact(shown(counts.failed), counts.failed === 1 ? "failure" : "failures", "see below", galleryLink({ show: "failed" }), "bad"),
      counts.notShown && fact(shown(counts.notShown), "originals not shown", "gone or unreadable", galleryLink({ show: "notes" }), "bad"),
    ];
    facts.replaceChildren(...here.filter(Boolean));
    overlays.forEach((one) => one());
  }

  // The index may still be on its way when the overview is shown.
  function indexed() {
    const order = hasTruth ? "worst" : "best";
    const numbers = chosen({ order }).filter((n) => !hasTruth || boxbeam.items[n].mistakes > 0).slice(0, WORST_SHOWN);
    if (!numbers.length) return;
    overlays.length = 0;
    worst.replaceChildren(
      make("h2", {}, hasTruth ? "Worst mistakes" : "Surest detections", make("a", { class: "more", href: galleryLink({ order }) }, "all, in this order ›")),
      make("ul", { class: "grid" }, numbers.map((number) => card(number, { order }, overlays))));
  }

  fill();
  if (boxbeam.items.length) indexed();
  const rule = hasTruth ? "An object counts as found from IoU 0.5 on. " : "";
  return {
    title: "Overview",
    changed: fill,
    indexed,
    element: make("div", { class: "overview" }, facts, worst,
      make("div", { class: "columns" },
        make("section", {}, make("h2", {}, "Classes"),
          make("div", { class: "wide" }, make("table", { class: "classes" }, make("thead", {}, make("tr", {},
            ["class", "detections", "scores"].map(headCell),
            hasTruth && ["right", "wrong", "missed", "precision", "recall"].map(headCell))), body)),
          !classes.some(([, , , tally]) => Object.keys(tally).length) && make("p", { class: "empty" }, "Nothing has been found anywhere."),
          make("p", { class: "quiet small" }, `${rule}Detections below ${minScore} are not on these pages. The slider at the top sets the score from which on a detection counts.`)),
        make("div", {}, failures.length > 0 && make("section", {}, make("h2", {}, "Failures"), failures.map(failureGroup)),
          metrics.length > 0 && metricsSection(metrics)))),
  };
}

function fact(value, name, detail, href, kind) {
  return make("div", { class: kind || "" }, make("dt", {}, href ? make("a", { href }, name) : name, detail && make("small", {}, detail)), make("dd", {}, value));
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
    make("th", { scope: "row" }, make("span", { class: "named" }, chip(colour), make("a", { href: galleryLink({ class: id }) }, name))),
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

// The numbers of an evaluation, in groups by what is before the first "/".
function metricsSection(metrics) {
  const groups = new Map();
  for (const [name, value] of metrics) {
    const cut = name.indexOf("/");
    const group = cut < 0 ? "" : name.slice(0, cut);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push([name.slice(cut + 1), value]);
  }
  return make("section", { class: "metrics" }, make("h2", {}, "Evaluation"),
    [...groups].map(([group, rows]) => make("details", { open: rows.length <= 16 }, make("summary", {}, group || "Numbers", make("span", { class: "quiet" }, ` ${shown(rows.length)}`)),
      make("div", { class: "wide" }, make("table", {}, make("tbody", {}, rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name),
        make("td", { class: "number" }, value === null || value < 0 ? "–" : value.toFixed(4))))))))));
}

function failureGroup({ stage, type, total, first }) {
  const items = first.map(([name, message]) => make("li", {}, make("b", {}, name), ` ${message}`));
  const more = total > first.length ? make("p", { class: "quiet" }, `and ${shown(total - first.length)} more`) : null;
  return make("details", {}, make("summary", {}, `${shown(total)} × ${type}`, make("span", { class: "quiet" }, ` in ${stage}`)),
    make("ul", {}, items), more);
}
