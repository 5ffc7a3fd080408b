"use strict";
// Boxes over a picture or a video: an SVG for the outlines, and text beside them. Masks and keypoints are in the SVG too.

const MARKS = ["tp", "fp", "fn", "ignored", "found"];
const MARK_NAMES = { tp: "right", fp: "wrong", fn: "missed", ignored: "ignored", found: "found" };
const IGNORED = 3;
const SHOW = { found: true, truth: true, labels: innerWidth > 640, verdicts: false, shapes: true };
const ROWS_SHOWN = 300;

// What is to be drawn of a frame: detections from the threshold up, and annotated objects with what became of them.
function boxesOf(found, truth) {
  const drawn = [];
  for (const [id, score, ymin, xmin, ymax, xmax, mark, reason, iou, rings, points] of found || []) {
    if (score < boxbeam.threshold || boxbeam.hidden.has(id)) continue;
    const name = boxbeam.classOf(id).name;
    drawn.push({ id, name, score, edges: [ymin, xmin, ymax, xmax], mark: MARKS[mark], reason, iou, rings, points, isTruth: false });
  }
  for (const [id, ymin, xmin, ymax, xmax, verdict, finder, label] of truth || []) {
    if (boxbeam.hidden.has(id)) continue;
    const name = label || boxbeam.classOf(id).name;
    const mark = verdict === IGNORED ? "ignored" : finder >= boxbeam.threshold && finder > 0 ? "tp" : "fn";
    drawn.push({ id, name, edges: [ymin, xmin, ymax, xmax], mark, isTruth: true });
  }
  return drawn;
}

function isShown(box) {
  return box.isTruth ? SHOW.truth : SHOW.found;
}

function colourOf(box) {
  return SHOW.verdicts ? `var(--${box.mark})` : boxbeam.classOf(box.id).colour;
}

function titleOf(box) {
  if (box.isTruth) return `${box.name}, annotated${box.mark === "tp" ? ", found" : box.mark === "fn" ? ", missed" : ""}`;
  const why = box.mark === "fp" ? ` (${boxbeam.data.reasons[box.reason]})` : "";
  const verdict = box.mark === "found" ? "" : `, ${MARK_NAMES[box.mark]}${why}`;
  return `${box.name} ${box.score.toFixed(2)}${verdict}`;
}

// An overlay for a stage; `show` replaces what is on it.
function overlay({ withLabels = true } = {}) {
  const svg = draw("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const labels = make("div", { class: "labels" });
  const element = make("div", { class: "boxes" }, svg, labels);
  return {
    element,
    show(boxes) {
      const visible = boxes.filter(isShown);
      svg.replaceChildren(...(SHOW.shapes ? visible.flatMap(shapes) : []), ...visible.map(outline));
      labels.replaceChildren(...(withLabels && SHOW.labels ? visible.filter((box) => !box.isTruth || box.mark === "fn").map(label) : []));
    },
    highlight(box) {
      for (const drawn of svg.children) drawn.classList.toggle("lit", drawn.box === box);
    },
  };
}

function outline(box) {
  const [ymin, xmin, ymax, xmax] = box.edges;
  const size = { x: xmin, y: ymin, width: Math.max(0, xmax - xmin), height: Math.max(0, ymax - ymin) };
  const rect = draw("rect", { ...size, class: box.isTruth ? "truth" : "found", "data-mark": box.mark });
  rect.style.stroke = colourOf(box);
  rect.box = box;
  return rect;
}

// The mask of a detection, and its keypoints as dots: lines of no length with round ends, as an ellipse would be stretched.
function shapes(box) {
  const made = [];
  const path = (name, d) => {
    const drawn = draw("path", { class: name, d });
    drawn.style.setProperty("--colour", colourOf(box));
    drawn.box = box;
    made.push(drawn);
  };
  const pairs = (ring) => ring.flatMap((x, n) => (n % 2 ? [] : [`${x} ${ring[n + 1]}`]));
  if (box.rings?.length) path("mask", box.rings.map((ring) => `M${pairs(ring).join("L")}Z`).join(""));
  if (box.points?.length) for (const name of ["rim", "points"]) path(name, pairs(box.points).map((pair) => `M${pair}h0`).join(""));
  return made;
}

function label(box) {
  const [ymin, xmin, , xmax] = box.edges;
  const side = xmin > 0.8 ? { right: `${100 * (1 - Math.min(1, xmax))}%` } : { left: `${100 * Math.max(0, xmin)}%` };
  const style = { ...side, top: `${100 * Math.min(1, Math.max(0, ymin))}%` };
  const text = box.isTruth ? `${box.name} missed` : `${box.name} ${box.score.toFixed(2)}`;
  const made = make("span", { class: ymin < 0.05 ? "inside" : "", style }, text);
  made.style.setProperty("--colour", colourOf(box));
  return made;
}

// Switches for what is drawn; `changed` is called after each.
function switches(changed) {
  const { hasTruth, classes, shapes: kinds } = boxbeam.data;
  const buttons = [toggle("Detections", "found", "d"), toggle("Labels", "labels", "l")];
  if (kinds.length) buttons.push(toggle(kinds.length > 1 ? "Masks, keypoints" : kinds[0] === "masks" ? "Masks" : "Keypoints", "shapes", "s"));
  if (hasTruth) buttons.splice(1, 0, toggle("Ground truth", "truth", "t"), toggle("Verdicts", "verdicts", "v"));

  function toggle(text, name, key) {
    const button = make("button", { type: "button", "aria-pressed": String(SHOW[name]), "data-key": key, title: `Key ${key}` }, text);
    button.addEventListener("click", () => {
      SHOW[name] = !SHOW[name];
      button.setAttribute("aria-pressed", String(SHOW[name]));
      changed();
    });
    return button;
  }

  const present = classes.filter(([, , , counts]) => Object.keys(counts).length);
  const legend = present.map(([id, name, colour]) => {
    const button = make("button", { type: "button", class: "class", "aria-pressed": String(!boxbeam.hidden.has(id)) }, chip(colour), name);
    button.addEventListener("click", () => {
      if (!boxbeam.hidden.delete(id)) boxbeam.hidden.add(id);
      button.setAttribute("aria-pressed", String(!boxbeam.hidden.has(id)));
      changed();
    });
    return button;
  });
  return make("div", { class: "switches", role: "group", "aria-label": "What is drawn" },
    buttons, make("span", { class: "legend", role: "group", "aria-label": "Classes" }, legend), hasTruth && verdictLegend());
}

function verdictLegend() {
  const marks = ["tp", "fp", "fn", "ignored"].map((mark) => make("span", { class: `mark ${mark}` }, MARK_NAMES[mark]));
  return make("span", { class: "marks quiet" }, marks, make("span", { class: "dashed" }, "annotated"));
}

// The boxes of a frame as a table, mistakes first; looking at a row lights its box.
function boxTable(boxes, drawn) {
  const listed = boxes.filter((box) => !box.isTruth || box.mark === "fn");
  if (!listed.length) return make("p", { class: "quiet" }, "Nothing found at this score.");
  const row = (box) => {
    const made = make("tr", { tabindex: "0", "data-mark": box.mark },
      make("td", {}, make("span", { class: "named" }, chip(boxbeam.classOf(box.id).colour), make("span", {}, box.name, box.mark === "fp" && make("small", {}, boxbeam.data.reasons[box.reason])))),
      make("td", { class: "number" }, box.isTruth ? "" : box.score.toFixed(2)));
    for (const event of ["mouseenter", "focus"]) made.addEventListener(event, () => drawn.highlight(box));
    for (const event of ["mouseleave", "blur"]) made.addEventListener(event, () => drawn.highlight(null));
    return made;
  };
  const groups = ["fn", "fp", "tp", "ignored", "found"].map((mark) => [mark, listed.filter((box) => box.mark === mark)]);
  return make("table", { class: "found" }, groups.filter(([, some]) => some.length).map(([mark, some]) => make("tbody", {},
    boxbeam.data.hasTruth && make("tr", { class: "group" }, make("th", { scope: "rowgroup" }, make("span", { class: `mark ${mark}` }, MARK_NAMES[mark])), make("td", { class: "number" }, shown(some.length))),
    some.slice(0, ROWS_SHOWN).map(row), some.length > ROWS_SHOWN && make("tr", {}, make("td", { class: "quiet" }, `and ${shown(some.length - ROWS_SHOWN)} more`)))));
}
