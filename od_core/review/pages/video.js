"use strict";

const INTO_FRAME = 0.002;  // seconds: a frame is sought a little behind its beginning, so that rounding cannot miss it
const NOT_MISSED = 1.5;  // columns without a missed object have a greater score of the finder

function videoView(number, item) {
  const drawn = overlay();
  const player = make("video", { src: item.url || null, muted: true, playsinline: true, preload: "auto", "aria-label": item.key });
  player.muted = true;
  const stage = make("div", { class: "stage" }, player, drawn.element);
  const told = make("p", { class: "quiet told" }, "Loading …");
  const lanes = make("div", { class: "lanes" });
  const aside = make("aside", { "aria-label": "What is found in this frame" });
  let video = null, frame = null, wanted = 0, isOpen = true;
  fit(stage, item);

  function changed() {
    if (video) fillLanes();
    if (frame) showFrame();
  }

  function showFrame() {
    const [seconds, index, found, truth] = frame;
    const boxes = boxesOf(found, truth);
    drawn.show(boxes);
    told.textContent = `frame ${shown(index)} at ${clock(seconds)}`;
    aside.replaceChildren(boxTable(boxes, drawn));
  }

  async function lookAt(seconds) {
    if (!video || !video.starts.length) return;
    const mine = ++wanted;
    lanes.style.setProperty("--now", String(video.end ? Math.min(1, seconds / video.end) : 0));
    if (document.activeElement !== time) time.value = String(seconds);
    let chunk = 0;
    while (chunk + 1 < video.starts.length && video.starts[chunk + 1] <= seconds + INTO_FRAME) chunk++;
    const frames = await boxbeam.loadFrames(number, chunk);
    if (mine !== wanted || !isOpen) return;
    let low = 0;
    for (let high = frames.length - 1; low < high;) {
      const middle = Math.ceil((low + high) / 2);
      if (frames[middle][0] <= seconds + INTO_FRAME) low = middle; else high = middle - 1;
    }
    if (frames[low] !== frame) { frame = frames[low]; showFrame(); }
  }

  function seek(seconds) {
    if (item.url && player.readyState) player.currentTime = seconds + INTO_FRAME;
    else lookAt(seconds);
  }

  function fillLanes() {
    const rows = video.lanes.filter(([id]) => !boxbeam.hidden.has(id)).map(([id, columns]) => lane(id, columns, video, seek));
    if (video.damage.length) rows.push(damageLane(video.damage, video.end, seek));
    lanes.style.setProperty("--lanes", String(rows.length));
    const marks = boxbeam.data.hasTruth ? ["fp", "fn"].map((mark) => make("span", { class: `mark ${mark}` }, MARK_NAMES[mark])) : [];
    const caption = rows.length ? ["How sure the best detection is.", ...marks, "Click to go there."] : ["Nothing is found in this video."];
    lanes.replaceChildren(...rows, make("div", { class: "now", "aria-hidden": "true", hidden: !rows.length }),
      make("p", { class: "caption quiet" }, caption.map((one) => make("span", {}, one)), make("span", { class: "end" }, clock(video.end))));
  }

  // The nearest moment before or behind this one at which something is found, or something is wrong.
  function jump(direction, onlyMistakes) {
    const now = item.url ? player.currentTime - INTO_FRAME : frame ? frame[0] : 0;
    const step = video.end / video.columns;
    let best = null;
    for (const [id, columns] of video.lanes) {
      if (boxbeam.hidden.has(id)) continue;
      for (const [, score, seconds, wrong, missed] of columns) {
        const counts = onlyMistakes ? wrong >= boxbeam.threshold || missed < boxbeam.threshold : score >= boxbeam.threshold;
        const distance = direction * (seconds - now);
        if (counts && distance > step / 2 && (best === null || distance < direction * (best - now))) best = seconds;
      }
    }
    if (best !== null) seek(best);
  }

  if ("requestVideoFrameCallback" in player) {
    const onFrame = (_, { mediaTime }) => { if (isOpen) { lookAt(mediaTime); player.requestVideoFrameCallback(onFrame); } };
    player.requestVideoFrameCallback(onFrame);
  }
  for (const event of ["seeked", "timeupdate"]) player.addEventListener(event, () => lookAt(Math.max(0, player.currentTime - INTO_FRAME)));
  player.addEventListener("error", () => { told.textContent = "This browser does not play the video; the timeline still tells what is in it."; });
  boxbeam.loadVideo(number).then((loaded) => { video = loaded; if (time.max === "0") time.max = String(video.end); fillLanes(); lookAt(0); }, (error) => { told.textContent = error.message; });

  const time = make("input", { type: "range", min: "0", max: "0", step: "any", value: "0", "aria-label": "Time" });
  time.addEventListener("input", () => seek(Number(time.value)));
  const play = make("button", { type: "button", class: "playing", title: "Key space", onclick: () => playOrPause() }, "▶ Play");
  const playOrPause = () => { if (player.paused) player.play().catch(() => {}); else player.pause(); };
  for (const event of ["play", "pause"]) player.addEventListener(event, () => { play.textContent = player.paused ? "▶ Play" : "❚❚ Pause"; });
  player.addEventListener("click", playOrPause);
  player.addEventListener("loadedmetadata", () => { time.max = String(player.duration || video?.end || 0); });
  const button = (text, key, action) => make("button", { type: "button", title: `Key ${key}`, onclick: action }, text);
  const jumps = [button("‹ Detection", "b", () => jump(-1, false)), button("Detection ›", "n", () => jump(1, false))];
  if (boxbeam.data.hasTruth) jumps.push(button("Mistake ›", "m", () => jump(1, true)));
  return {
    changed,
    close: () => { isOpen = false; player.pause(); player.removeAttribute("src"); player.load(); },
    keys: {
      b: () => jump(-1, false), n: () => jump(1, false), m: () => jump(1, true),
      " ": playOrPause,
    },
    element: make("div", { class: "view" },
      make("div", { class: "frame filmed" }, stage, make("div", { class: "jumps" }, play, time, jumps, told), lanes), aside),
  };
}

// One class over time: how sure the best detection is, and below that where one is wrong, and where an object is missed.
function lane(id, columns, { columns: count, end }, seek) {
  const { hasTruth } = boxbeam.data;
  const { name, colour } = boxbeam.classOf(id);
  const svg = draw("svg", { viewBox: `0 0 ${count} 20`, preserveAspectRatio: "none", role: "img" });
  const there = columns.filter(([, score, , wrong, missed]) => score >= boxbeam.threshold || wrong >= boxbeam.threshold || missed < boxbeam.threshold);
  svg.setAttribute("aria-label", `${name}: found in ${there.length} of ${count} parts of the video`);
  for (const [column, score, , wrong, missed] of there) {
    const bar = (y, height, fill) => svg.append(draw("rect", { x: column, y, width: 1.05, height, fill }));
    // Verdicts have colours of their own, so that classes step back where they are shown.
    const fill = SHOW.verdicts ? "var(--bar)" : colour;
    if (score >= boxbeam.threshold) bar(hasTruth ? 12 * (1 - score) : 20 * (1 - score), (hasTruth ? 12 : 20) * score, fill);
    if (wrong >= boxbeam.threshold) bar(13, 3, "var(--fp)");
    if (missed < NOT_MISSED && missed < boxbeam.threshold) bar(17, 3, "var(--fn)");
  }
  return make("div", { class: "lane" }, make("span", { class: "name" }, chip(colour), name),
    make("div", { class: "strip", onclick: (event) => clicked(event) }, svg));

  function clicked(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const column = ((event.clientX - box.left) / box.width) * count;
    const near = there.reduce((best, one) => (Math.abs(one[0] + 0.5 - column) < Math.abs((best?.[0] ?? -1e9) + 0.5 - column) ? one : best), null);
    seek(near && Math.abs(near[0] + 0.5 - column) < count / 50 ? near[2] : (column / count) * end);
  }
}

function damageLane(damage, end, seek) {
  const marks = damage.map(([seconds, message]) => make("button", {
    type: "button", class: "damage", title: `${clock(seconds)}: ${message}`, "aria-label": `failed at ${clock(seconds)}: ${message}`,
    style: { left: `${100 * Math.min(1, end ? seconds / end : 0)}%` }, onclick: () => seek(seconds),
  }));
  return make("div", { class: "lane" }, make("span", { class: "name" }, "failed"), make("div", { class: "strip" }, marks));
}
