"use strict";

const PAGE_SIZE = 48;
const VIDEO = 2;
const NARROW = 640;
const SOURCES_OFFERED = 200;

function galleryLink(choice) {
  return `#/gallery?${query({ ...choice, page: undefined })}`;
}

function query(choice) {
  const kept = Object.entries(choice).filter(([, value]) => value !== undefined && value !== "" && value !== null);
  return new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
}

// The numbers of the items that a choice leaves, in its order.
function chosen(choice) {
  const wantedClass = choice.class === undefined || choice.class === "" ? null : Number(choice.class);
  const words = (choice.name || "").toLowerCase();
  const numbers = [];
  boxbeam.items.forEach((item, number) => {
    if (choice.kind === "video" ? item.kind !== VIDEO : choice.kind === "picture" && item.kind === VIDEO) return;
    if (words && !item.key.toLowerCase().includes(words) && !item.file.toLowerCase().includes(words)) return;
    if (matches(item, wantedClass, choice.show || "")) numbers.push(number);
  });
  const order = choice.order || (boxbeam.data.hasTruth ? "worst" : "name");
  if (order === "worst") numbers.sort((a, b) => boxbeam.items[b].mistakes - boxbeam.items[a].mistakes || a - b);
  if (order === "best") numbers.sort((a, b) => bestScore(b, wantedClass) - bestScore(a, wantedClass) || a - b);
  if (order === "least") numbers.sort((a, b) => bestScore(a, wantedClass) - bestScore(b, wantedClass) || a - b);
  return numbers;
}

function matches(item, wantedClass, show) {
  if (show === "failed") return item.failure !== "";
  if (show === "notes") return item.note !== "";
  if (show === "" && wantedClass === null) return true;
  const wanted = { detections: ["tp", "fp", "ignored", "found"], empty: ["tp", "fp", "ignored", "found"], wrong: ["fp", "fn"] }[show] || (show ? [show] : MARKS);
  let any = false;
  for (let n = 0; n < item.summary.length && !any; n += 3) {
    const [id, mark, score] = item.summary.slice(n, n + 3);
    any = (wantedClass === null || id === wantedClass) && wanted.includes(MARKS[mark]) && boxbeam.counts(mark, score);
  }
  return show === "empty" ? !any && item.failure === "" : any;
}

function bestScore(number, wantedClass) {
  let best = 0;
  const { summary } = boxbeam.items[number];
  for (let n = 0; n < summary.length; n += 3) {
    if (MARKS[summary[n + 1]] !== "fn" && (wantedClass === null || summary[n] === wantedClass)) best = Math.max(best, summary[n + 2]);
  }
  return best;
}

function galleryPage(choice) {
  const grid = make("ul", { class: "grid" });
  const count = make("p", { class: "quiet", "aria-live": "polite", id: "count" });
  const pages = make("nav", { class: "pages", "aria-label": "Pages of the gallery" });
  const nothing = make("div", { class: "empty", hidden: true }, make("p", {}, "Nothing here for this choice."),
    make("p", { class: "quiet" }, "The score at the top counts too."), make("a", { class: "button", href: "#/gallery" }, "Show everything"));
  const overlays = [];

  function change(more) {
    location.hash = `#/gallery?${query({ ...choice, page: undefined, ...more })}`;
  }

  function fill() {
    const numbers = chosen(choice);
    const last = Math.max(1, Math.ceil(numbers.length / PAGE_SIZE));
    const page = Math.min(last, Math.max(1, Number(choice.page) || 1));
    const here = numbers.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
    overlays.length = 0;
    count.textContent = `${shown(numbers.length)} of ${shown(boxbeam.items.length)}` + (last > 1 ? `, page ${page} of ${shown(last)}` : "");
    grid.replaceChildren(...here.map((number) => card(number, choice, overlays)));
    nothing.hidden = numbers.length > 0;
    const to = (n, text, rel) => make("a", { href: `#/gallery?${query({ ...choice, page: n })}`, rel, class: n < 1 || n > last ? "off" : "" }, text);
    const place = make("input", { type: "number", min: "1", max: String(last), value: String(page), "aria-label": "Page", onchange: () => change({ page: place.value }) });
    pages.replaceChildren(...(last > 1 ? [to(page - 1, "‹ Back", "prev"), make("label", {}, place, ` of ${shown(last)}`), to(page + 1, "Next ›", "next")] : []));
  }
  fill();
  return {
    title: "Gallery",
    changed: fill,
    keys: { ArrowLeft: () => pages.querySelector("[rel=prev]:not(.off)")?.click(), ArrowRight: () => pages.querySelector("[rel=next]:not(.off)")?.click() },
    element: make("div", { class: "gallery" }, filters(choice, change), switches(() => overlays.forEach((one) => one())), count, grid, nothing, pages),
  };
}

function filters(choice, change) {
  const { classes, hasTruth } = boxbeam.data;
  const present = classes.filter(([, , , counts]) => Object.keys(counts).length);
  const shows = [["", "everything"], ["detections", "something found"], ["empty", "nothing found"],
    ...(hasTruth ? [["wrong", "any mistake"], ["fp", "wrong detections"], ["fn", "missed objects"], ["tp", "right detections"], ["ignored", "ignored detections"]] : []),
    ["failed", "failures"], ["notes", "remarks"]];
  const orders = [...(hasTruth ? [["worst", "worst mistakes first"]] : []), ["name", "by name"], ["best", "highest score first"], ["least", "lowest score first"]];
  const name = make("input", { type: "search", id: "name", value: choice.name || "", placeholder: "part of a path", list: "sources", autocomplete: "off" });
  name.addEventListener("change", () => change({ name: name.value }));
  const set = ["class", "show", "kind", "name"].filter((field) => choice[field]).length;
  return make("details", { class: "filter-box", open: innerWidth > NARROW || undefined }, make("summary", {}, "Filters", set > 0 && make("span", { class: "badge" }, String(set))),
   make("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    select("Class", "class", [["", "all"], ...present.map(([id, text]) => [String(id), text])]),
    select("Show", "show", shows),
    select("Kind", "kind", [["", "all"], ["picture", "pictures"], ["video", "videos"]]),
    make("label", {}, "Source", name, make("datalist", { id: "sources" }, sources().map((value) => make("option", { value })))),
    select("Order", "order", orders),
    set > 0 && make("a", { class: "button clear", href: `#/gallery?${query({ order: choice.order })}` }, "Clear")));

  function select(text, field, options) {
    const made = make("select", { id: field, onchange: () => change({ [field]: made.value }) },
      options.map(([value, shownAs]) => make("option", { value, selected: value === (choice[field] || "") }, shownAs)));
    return make("label", {}, text, made);
  }
}

// Folders and record files to choose from, those with most items first.
function sources() {
  const counts = new Map();
  for (const { key, file } of boxbeam.items) {
    const source = file || key.slice(0, key.lastIndexOf("/") + 1);
    if (source) counts.set(source, (counts.get(source) || 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, SOURCES_OFFERED).map(([source]) => source);
}

function card(number, choice, overlays) {
  const item = boxbeam.items[number];
  const drawn = overlay({ withLabels: false });
  const picture = item.hasThumbnail
    ? make("img", { src: boxbeam.thumbnail(number), alt: "", loading: "lazy", width: item.width, height: item.height })
    : make("div", { class: "nothing" }, item.failure ? "failed" : "not shown");
  const stage = make("div", { class: "stage" }, picture, drawn.element);
  const tally = make("span", { class: "tally" });
  fit(stage, item);
  if (item.kind === VIDEO && item.hasThumbnail) stage.append(make("span", { class: "play", "aria-label": "video" }, "▶"));
  if (item.kind !== VIDEO && !item.failure) {
    boxbeam.loadBoxes(number).then((boxes) => {
      const refresh = () => {
        const here = boxesOf(boxes?.[0], boxes?.[1]);
        drawn.show(here);
        tally.replaceChildren(...tallied(here));
      };
      overlays.push(refresh);
      refresh();
    }, () => {});
  }
  const remark = item.failure || item.note;
  return make("li", {}, make("a", { class: "card", href: `#/item/${number}?${query(choice)}` }, make("span", { class: "picture" }, stage),
    make("span", { class: "line" }, named(item.key), tally),
    remark && make("span", { class: "remark", title: remark }, remark)));
}

// How many boxes a card shows: of each verdict, or all of them.
function tallied(boxes) {
  const { hasTruth } = boxbeam.data;
  const of = (mark, isTruth) => boxes.filter((box) => box.mark === mark && box.isTruth === isTruth).length;
  const counts = hasTruth ? [["tp", of("tp", false)], ["fp", of("fp", false)], ["fn", of("fn", true)]] : [];
  if (!hasTruth && boxes.length) return [`${boxes.length} found`];
  return counts.filter(([, count]) => count).map(([mark, count]) => make("span", { class: `mark ${mark}`, title: `${count} ${MARK_NAMES[mark]}` }, String(count)));
}

// A path of which the folders give way first where there is little room.
function named(key) {
  const cut = key.lastIndexOf("/") + 1;
  return make("span", { class: "name", title: key }, cut > 0 && make("span", { class: "folder" }, key.slice(0, cut)), make("span", {}, key.slice(cut)));
}
