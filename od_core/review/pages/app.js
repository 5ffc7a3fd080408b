"use strict";
// Which page is shown is in the address, so that the browser's way back works and a view can be kept as a bookmark.

{
  const main = document.getElementById("main");
  const slider = document.getElementById("threshold");
  let page = null;

  boxbeam.start = async () => {
    const { title, classes, minScore, hasTruth } = boxbeam.data;
    boxbeam.classes = new Map(classes.map(([id, name, colour]) => [id, { name, colour }]));
    SHOW.verdicts = hasTruth;
    document.getElementById("title").textContent = title;
    slider.min = String(Math.floor(minScore * 20) / 20);
    setThreshold(Math.max(0.5, minScore));
    if (!location.hash.startsWith("#/gallery") && !location.hash.startsWith("#/item")) show();
    try {
      await boxbeam.loadIndex();
    } catch (error) {
      main.replaceChildren(make("p", {}, `The pages are not complete: ${error.message}. Make them again with boxbeam review.`));
      return;
    }
    if (!page || location.hash.startsWith("#/gallery") || location.hash.startsWith("#/item")) show();
    page.indexed?.();
    document.body.dataset.ready = "";
  };

  function show() {
    const [, name, number, words] = /^#\/(\w*)\/?(\d*)\??(.*)$/.exec(location.hash) || [];
    const choice = Object.fromEntries(new URLSearchParams(words || ""));
    page?.close?.();
    page = name === "gallery" ? galleryPage(choice) : name === "item" ? itemPage(Number(number), choice) : overviewPage();
    document.title = `${page.title} – ${boxbeam.data.title}`;
    main.replaceChildren(page.element);
    for (const link of document.querySelectorAll("nav [data-page]")) {
      const isHere = link.dataset.page === (name === "item" ? "gallery" : name || "overview");
      if (isHere) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    scrollTo(0, 0);
  }

  function setThreshold(value) {
    boxbeam.threshold = Math.round(value * 20) / 20;
    slider.value = String(boxbeam.threshold);
    document.getElementById("threshold-shown").textContent = boxbeam.threshold.toFixed(2);
  }

  slider.addEventListener("input", () => { setThreshold(Number(slider.value)); page?.changed?.(); });
  addEventListener("hashchange", () => { if (boxbeam.items.length || !/^#\/(gallery|item)/.test(location.hash)) show(); });
  document.querySelector("[data-skip]").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });

  document.getElementById("theme").addEventListener("click", () => {
    const isDark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
  });

  const keys = document.getElementById("keys");
  document.getElementById("help").addEventListener("click", help);

  function help() {
    if (keys.open) { keys.close(); return; }
    const rows = [["?", "these keys"], ["← →", "the item before, the next one; pages of the gallery"], ["Esc", "back to the gallery"],
      ["d", "detections"], ...(boxbeam.data.hasTruth ? [["t", "ground truth"], ["v", "verdicts, or classes, as colours"]] : []), ["l", "labels"], ...(boxbeam.data.shapes.length ? [["s", boxbeam.data.shapes.join(" and ")]] : []),
      ["z", "zoom into a picture"], ["space", "play a video, or stop"], ["n b", "the next detection of a video, the last one"],
      ...(boxbeam.data.hasTruth ? [["m", "the next mistake of a video"]] : [])];
    keys.replaceChildren(make("h2", {}, "Keys"),
      make("table", {}, make("tbody", {}, rows.map(([key, meaning]) => make("tr", {},
        make("th", { scope: "row" }, key.split(" ").map((one) => make("kbd", {}, one))), make("td", {}, meaning))))),
      make("form", { method: "dialog" }, make("button", { class: "primary" }, "Close")));
    keys.showModal();
  }

  addEventListener("keydown", (event) => {
    if (keys.open && event.key !== "?") return;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === " " && /^(BUTTON|A|SUMMARY|VIDEO)$/.test(event.target.tagName)) return;
    if (event.target.tagName === "VIDEO" && event.key.startsWith("Arrow")) return;
    if (event.key === "?") { event.preventDefault(); help(); return; }
    const pressed = main.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    const action = page?.keys?.[event.key] || (pressed && (() => pressed.click()));
    if (!action) return;
    event.preventDefault();
    action();
  });
}
