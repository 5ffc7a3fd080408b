"use strict";

// The large view of an item; the arrows lead through what the gallery's choice leaves.
function itemPage(number, choice) {
  const item = boxbeam.items[number];
  if (!item) return { title: "Nothing", element: make("div", { class: "empty" }, make("p", {}, "There is no such picture."), make("a", { class: "button", href: "#/gallery" }, "Gallery")) };
  const numbers = chosen(choice);
  const place = numbers.indexOf(number);
  const to = (n) => (n === undefined ? null : `#/item/${n}?${query(choice)}`);
  const before = to(numbers[place - 1]), after = place < 0 ? null : to(numbers[place + 1]);
  const back = `#/gallery?${query({ ...choice, page: place < 0 ? undefined : 1 + Math.floor(place / PAGE_SIZE) })}`;
  const view = item.kind === VIDEO ? videoView(number, item) : pictureView(number, item);
  const step = (href, text, name) => (href ? make("a", { href, class: "button", "aria-label": name }, text)
    : make("span", { class: "button none", "aria-disabled": "true", "aria-label": `no ${name}` }, text));
  const go = (href) => () => { if (href) location.hash = href; };
  return {
    title: item.key,
    changed: view.changed,
    close: view.close,
    keys: { ArrowLeft: go(before), ArrowRight: go(after), Escape: go(back), ...view.keys },
    element: make("article", { class: "item" },
      make("div", { class: "heading" }, make("a", { href: back }, "‹ Gallery"),
        make("span", { class: "steps" }, step(before, "←", "item before"), step(after, "→", "item behind")),
        make("h2", { title: item.key }, item.key),
        make("span", { class: "quiet" }, [place >= 0 && `${shown(place + 1)} of ${shown(numbers.length)}`, item.width && `${item.width} × ${item.height}`, item.file].filter(Boolean).join(" · "))),
      (item.failure || item.note) && make("p", { class: "remark", role: "note" }, item.failure || item.note),
      switches(() => view.changed()), view.element),
  };
}

function pictureView(number, item) {
  const drawn = overlay();
  const aside = make("aside", { "aria-label": "What was found" });
  let boxes = null;
  const picture = item.url
    ? make("img", { src: item.url, alt: `${item.key}, with what was found in it`, width: item.width, height: item.height })
    : make("div", { class: "nothing large", style: { aspectRatio: `${item.width || 4} / ${item.height || 3}` } }, "The original is not shown.");
  if (item.url) {
    picture.addEventListener("error", () => {
      if (item.hasThumbnail && !picture.src.endsWith(boxbeam.thumbnail(number))) picture.src = boxbeam.thumbnail(number);
    });
  }
  const stage = make("div", { class: "stage" }, picture, drawn.element);
  fit(stage, item);
  function changed() {
    if (!boxes) return;
    const here = boxesOf(boxes[0], boxes[1]);
    drawn.show(here);
    aside.replaceChildren(boxTable(here, drawn));
  }
  boxbeam.loadBoxes(number).then((loaded) => { boxes = loaded; changed(); }, (error) => aside.replaceChildren(error.message));
  return {
    changed,
    keys: { z: () => stage.parentElement.classList.toggle("zoomed") },
    element: make("div", { class: "view" }, make("div", { class: "frame", ondblclick: () => stage.parentElement.classList.toggle("zoomed") }, stage), aside),
  };
}

// As large as the window allows, in the shape of the picture: boxes are placed in parts of it.
function fit(stage, item) {
  if (!item.width) return;
  stage.style.setProperty("--shape", String(item.width / item.height));
  stage.style.setProperty("--width", `${item.width}px`);
}
