"use strict";
// The data: scripts in data/ call the functions at the top, which keep what they are given.

const boxbeam = (() => {
  const MISSED = 2;
  const BOXES_HELD = 200;  // chunks of boxes; more are loaded again when they are looked at
  const arrived = new Map();
  const waiting = new Map();
  const store = { data: null, items: [], threshold: 0.5, hidden: new Set() };

  function arrive(name, value) {
    arrived.set(name, value);
    for (const old of arrived.keys()) {
      if (arrived.size <= BOXES_HELD) break;
      arrived.delete(old);
    }
  }

  // What the scripts call.
  store.overview = (data) => { store.data = data; store.start(); };
  store.index = (piece, rows) => {
    rows.forEach((row, n) => { store.items[piece * store.data.itemsPerPiece + n] = item(row); });
    arrive(`index-${pad(piece, 5)}`, true);
  };
  store.boxes = (chunk, rows) => arrive(`boxes-${pad(chunk, 5)}`, rows);
  store.video = (number, told) => arrive(`video-${pad(number, 6)}`, told);
  store.videoFrames = (number, chunk, frames) => arrive(`video-${pad(number, 6)}-${pad(chunk, 5)}`, frames);

  function item([key, kind, width, height, hasThumbnail, url, note, mistakes, summary, failure, file]) {
    return { key, kind, width, height, hasThumbnail, url, note, mistakes, summary, failure, file };
  }

  function pad(number, digits) {
    return String(number).padStart(digits, "0");
  }

  // The value that a script in data/ brings.
  function load(name) {
    if (arrived.has(name)) {
      const value = arrived.get(name);
      arrived.delete(name);
      arrived.set(name, value);  // now the youngest
      return Promise.resolve(value);
    }
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => { waiting.delete(name); script.remove(); resolve(arrived.get(name)); };
        script.onerror = () => { waiting.delete(name); script.remove(); reject(new Error(`data/${name}.js is gone`)); };
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  }

  store.loadIndex = async () => {
    for (let piece = 0; piece < store.data.pieces; piece++) await load(`index-${pad(piece, 5)}`);
  };
  store.loadBoxes = async (number) => {
    const size = store.data.itemsPerChunk;
    return (await load(`boxes-${pad(Math.floor(number / size), 5)}`))[number % size];
  };
  store.loadVideo = (number) => load(`video-${pad(number, 6)}`);
  store.loadFrames = (number, chunk) => load(`video-${pad(number, 6)}-${pad(chunk, 5)}`);

  store.thumbnail = (number) => {
    return `thumbs/${pad(Math.floor(number / store.data.filesPerFolder), 3)}/${number}.jpg`;
  };
  store.classOf = (id) => store.classes.get(id) || { name: `class ${id}`, colour: "#a0a0a0" };

  // Whether a box of this class and mark counts at the threshold: an object is missed if what found it scores less.
  store.counts = (mark, score) => (mark === MISSED ? score < store.threshold : score >= store.threshold);

  return store;
})();
