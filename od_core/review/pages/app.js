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

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === " " && /^(BUTTON|A|SUMMARY|VIDEO)$/.test(event.target.tagName)) return;
    if (event.target.tagName === "VIDEO" && event.key.startsWith("Arrow")) return;
    const pressed = main.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    const action = page?.keys?.[event.key] || (pressed && (() => pressed.click()));
    if (!action) return;
    event.preventDefault();
    action();
  });
}
