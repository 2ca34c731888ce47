/* What was spoken or decoded, to hear and to see: transport, lanes, mel spectrogram and code map on one time axis.
   Value: {mode: "choose" | "compare", items: [{title, url, file_name, seconds, peaks, lanes, mel, codes, facts, notes}]}. */
"use strict";

window.HiggsStudio.mountSoundView = (element, props, watch) => {
  const { make, speakerColour, clock, bytesOf, fileUrl, typing, Pictures } = window.HiggsStudio;
  const LANE = 30, MEL = 112, CODEBOOK = 9, SINGLE_CODEBOOK = 28, AXIS = 22, GAP = 6;
  const STEP_SECONDS = 1, MOST_ZOOM = 32;

  const sound = make("audio", { preload: "auto" });
  let items = [];
  let shown = 0; // which item is heard
  let view = { from: 0, to: 1 }; // seconds on the time axis
  let frame = 0;

  const parts = build();
  element.querySelector(".hs-sound").replaceChildren(sound, parts.root);
  watch("value", () => receive(props.value));
  new ResizeObserver(() => draw()).observe(parts.plots);
  new MutationObserver(() => draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  receive(props.value);

  function build() {
    const icon = (className, label, text, act) => make("button", { type: "button", class: `hs-icon ${className}`, "aria-label": label, title: label, onclick: act }, text);
    const play = make("button", { type: "button", class: "hs-play", "aria-label": "Play", title: "Play (space)", onclick: toggle }, "▶");
    const seek = make("input", { type: "range", class: "hs-seek", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position" });
    seek.addEventListener("input", () => { sound.currentTime = Number(seek.value); tick(); });
    const time = make("span", { class: "hs-time" }, "0:00.0");
    const download = make("a", { class: "hs-button hs-download", download: "" }, "Download WAV");
    const choice = make("div", { class: "hs-switch", role: "group", "aria-label": "What is heard" });
    const canvas = make("canvas", { role: "img" });
    const head = make("div", { class: "hs-playhead", "aria-hidden": "true" });
    const plots = make("div", { class: "hs-plots" }, canvas, head);
    const readout = make("p", { class: "hs-readout", "aria-hidden": "true" }, "\u00a0");
    const zoom = make("div", { class: "hs-zoom" }, icon("", "Zoom out", "−", () => rescale(2)), icon("", "Zoom in", "+", () => rescale(0.5)), icon("", "Show all", "⤢", () => { view = whole(); draw(); }));
    const facts = make("dl", { class: "hs-facts" });
    const notes = make("ul", { class: "hs-notes" });
    const body = make("div", { class: "hs-sound-body", hidden: true },
      choice, make("div", { class: "hs-transport" }, play, seek, time, download), plots, make("div", { class: "hs-under" }, readout, zoom), facts, notes);
    const empty = make("div", { class: "hs-sound-empty" });
    plots.addEventListener("pointermove", (event) => hover(event));
    plots.addEventListener("pointerleave", () => { readout.textContent = "\u00a0"; });
    plots.addEventListener("click", (event) => { sound.currentTime = Math.min(timeAt(event), item()?.seconds ?? 0); tick(); });
    plots.addEventListener("wheel", (event) => { if (event.ctrlKey) { event.preventDefault(); rescale(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event)); } }, { passive: false });
    sound.addEventListener("play", () => { setPlaying(true); follow(); });
    sound.addEventListener("pause", () => setPlaying(false));
    sound.addEventListener("ended", () => setPlaying(false));
    sound.addEventListener("timeupdate", tick);
    return { root: make("div", {}, empty, body), play, seek, time, download, choice, canvas, head, plots, readout, facts, notes, body, empty };
  }

  function item() { return items[shown]; }
  function whole() { return { from: 0, to: Math.max(0.1, ...items.map((one) => one.seconds)) }; }

  function receive(value) {
    sound.pause();
    items = value?.items ?? [];
    shown = 0;
    view = whole();
    parts.empty.textContent = value?.empty ?? "";
    parts.empty.hidden = items.length > 0;
    parts.body.hidden = !items.length;
    for (const one of items) decodePictures(one);
    parts.choice.hidden = items.length < 2;
    parts.choice.replaceChildren(...items.map((one, index) => make("button", { type: "button", "aria-pressed": index === 0, onclick: () => choose(index) }, one.title)));
    if (items.length) choose(0);
  }

  function decodePictures(one) {
    if (one.ready) return;
    one.peakValues = bytesOf(one.peaks);
    one.ready = true;
  }

  /* Another version is heard from the same position. */
  function choose(index) {
    const [position, playing] = [sound.currentTime, !sound.paused];
    const comparing = props.value?.mode === "compare";
    shown = index;
    [...parts.choice.children].forEach((button, at) => button.setAttribute("aria-pressed", at === index));
    sound.src = fileUrl(item().url);
    parts.download.href = sound.src;
    parts.download.setAttribute("download", item().file_name);
    parts.seek.max = item().seconds;
    if (comparing && position) sound.addEventListener("loadedmetadata", () => { sound.currentTime = position; if (playing) sound.play(); }, { once: true });
    if (!comparing) view = { from: 0, to: Math.max(0.1, item().seconds) };
    parts.facts.replaceChildren(...item().facts.map(([name, text]) => make("div", { class: "hs-fact" }, make("dt", {}, name), make("dd", {}, text))));
    parts.notes.replaceChildren(...item().notes.map((note) => make("li", {}, note)));
    tick();
    draw();
  }

  function toggle() {
    if (!item()) return;
    if (sound.paused) sound.play(); else sound.pause();
  }
  function setPlaying(on) {
    parts.play.textContent = on ? "❚❚" : "▶";
    parts.play.setAttribute("aria-label", on ? "Pause" : "Play");
    tick();
  }
  function follow() {
    cancelAnimationFrame(frame);
    tick();
    if (!sound.paused) frame = requestAnimationFrame(follow);
  }
  function tick() {
    const now = sound.currentTime;
    parts.seek.value = now;
    parts.seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${(item()?.seconds ?? 0).toFixed(1)} seconds`);
    parts.time.textContent = `${clock(now)} / ${clock(item()?.seconds ?? 0)}`;
    const share = (now - view.from) / (view.to - view.from);
    parts.head.style.left = `${100 * share}%`;
    parts.head.hidden = share < 0 || share > 1;
    if (!sound.paused && share > 1) { // turn the page
      const width = view.to - view.from;
      view = { from: now, to: now + width };
      draw();
    }
  }

  window.addEventListener("keydown", (event) => {
    if (!item() || !element.offsetParent || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && !event.target.closest?.("button, a, summary, [role=tab], label")) { event.preventDefault(); toggle(); }
    if (event.target.type === "range") return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (event.target.closest?.("[role=tab], [role=radiogroup]")) return;
      sound.currentTime = Math.max(0, sound.currentTime + (event.key === "ArrowLeft" ? -STEP_SECONDS : STEP_SECONDS));
      tick();
    }
    if (props.value?.mode === "compare" && /^[1-9]$/.test(event.key) && items[event.key - 1]) choose(event.key - 1);
  });

  /* ---- drawing ---- */

  function rescale(factor, around = sound.currentTime) {
    view = Pictures.zoomed(view, whole().to, factor, around, MOST_ZOOM);
    draw();
  }

  /* Each picture with its place: lanes, then mel spectrograms, then the code map, then the axis. */
  function layout() {
    const stack = [];
    let top = 0;
    const add = (kind, height, more) => { stack.push({ kind, top, height, ...more }); top += height + GAP; };
    const all = props.value?.mode === "compare" ? items : [item()];
    for (const lane of item().lanes) add("lane", LANE, { lane });
    for (const one of all) add("mel", MEL, { one, name: all.length > 1 ? `${one.title}: mel spectrogram` : "Mel spectrogram" });
    const coded = all.find((one) => one.codes.length) ?? item();
    if (coded.codes.length) add("codes", coded.codes[0].rows > 1 ? coded.codes[0].rows * CODEBOOK : SINGLE_CODEBOOK, { one: coded, name: coded.codes[0].rows > 1 ? `Codes: ${coded.codes[0].rows} codebooks` : "Codes" });
    add("axis", AXIS, {});
    return { stack, height: top - GAP };
  }

  function draw() {
    if (!item() || !parts.plots.clientWidth) return;
    const { stack, height } = layout();
    const width = parts.plots.clientWidth;
    const { pen, ink, ground } = Pictures.prepare(parts.canvas, width, height);
    parts.canvas.setAttribute("aria-label", `${item().title}: waveform, mel spectrogram and code map over ${item().seconds.toFixed(1)} seconds`);
    const x = (seconds) => ((seconds - view.from) / (view.to - view.from)) * width;
    for (const place of stack) {
      if (place.kind === "axis") { Pictures.axis(pen, place, view, x, width, ink); continue; }
      pen.fillStyle = ground;
      pen.fillRect(0, place.top, width, place.height);
      if (place.kind === "lane") drawLane(pen, place, x);
      if (place.kind === "mel") Pictures.paint(pen, place, place.one.mel, 0, place.one.seconds, x, Pictures.MEL);
      if (place.kind === "codes") for (const codes of place.one.codes) Pictures.paint(pen, place, codes, codes.start, codes.start + codes.columns / codes.frame_rate, x, Pictures.CODES(codes));
      if (place.name) Pictures.caption(pen, place, place.name);
    }
    tick();
  }

  function drawLane(pen, place, x) {
    const { lane } = place;
    const values = item().peakValues;
    const middle = place.top + place.height / 2;
    const perSecond = values.length / item().seconds;
    for (const block of lane.blocks) {
      const colour = speakerColour(lane.speaker);
      pen.fillStyle = colour;
      pen.globalAlpha = 0.16;
      pen.beginPath();
      pen.roundRect(x(block.start), place.top + 1, Math.max(2, x(block.end) - x(block.start)), place.height - 2, 4);
      pen.fill();
      pen.globalAlpha = 1;
      for (let at = Math.floor(block.start * perSecond); at < block.end * perSecond && at < values.length; at += 1) {
        const reach = Math.max(0.5, (values[at] / 255) * (place.height / 2 - 3));
        pen.fillRect(x(at / perSecond), middle - reach, Math.max(0.6, x(1 / perSecond) - x(0) - 0.2), 2 * reach);
      }
    }
    Pictures.caption(pen, place, lane.name);
  }

  /* ---- pointing ---- */

  function timeAt(event) {
    const box = parts.plots.getBoundingClientRect();
    return Math.max(0, view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from));
  }

  function hover(event) {
    if (!item()) return;
    const seconds = timeAt(event);
    const y = event.clientY - parts.plots.getBoundingClientRect().top;
    const place = layout().stack.find((one) => y >= one.top && y < one.top + one.height);
    let words = `${seconds.toFixed(2)} s`;
    const share = place ? (y - place.top) / place.height : 0;
    if (place?.kind === "codes") words += place.one.codes.map((codes) => Pictures.codeWords(codes, seconds, share)).join("");
    else if (place?.kind === "mel") words += Pictures.melWords(place.one.mel, seconds, place.one.seconds, share);
    else if (place?.kind === "lane") words += ` · ${place.lane.name}`;
    parts.readout.textContent = words;
  }
};
