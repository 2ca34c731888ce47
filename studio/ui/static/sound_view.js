/* What was spoken, to hear and to see: transport, lanes, mel spectrogram and code map on one time axis, and under them the takes.
   Value: {items: [{title, url, file_name, seconds, peaks, lanes, mel, codes, facts, notes}], project: {token, rows, mixing, …}, empty}. */
"use strict";

window.HiggsStudio.mountSoundView = (element, props, watch, server) => {
  const { make, speakerColour, clock, bytesOf, fileUrl, typing, memory, mountTakes, Editor, Pictures } = window.HiggsStudio;
  const LANE = 30, MEL = 112, CODEBOOK = 9, SINGLE_CODEBOOK = 28, AXIS = 22, GAP = 6;
  const STEP_SECONDS = 1, MOST_ZOOM = 32, DRAG_PIXELS = 4;

  const sound = make("audio", { preload: "auto" });
  let items = [];
  let shown = 0; // which item is heard
  let view = { from: 0, to: 1 }; // seconds on the time axis
  let frame = 0;
  let project = null;
  let heardNow = ""; // the row that is being heard
  let drag = null; // {block, fromX, by}: a block being moved
  let editing = Promise.resolve(); // edits reach the server one after another
  let revision = 0; // of what is shown
  let resumeAt = 0; // seconds to go on from, once the new sound is loaded
  let nothingYet = ""; // what an empty view says
  let speaking = ""; // what it says instead while the first sound is being made

  const parts = build();
  const takes = mountTakes(parts.takes, { edit, compare, whoSpoke, silenceMix });
  element.querySelector(".hs-sound").replaceChildren(sound, parts.root);
  sound.addEventListener("loadedmetadata", () => { sound.currentTime = Math.min(resumeAt, item()?.seconds ?? 0); });
  sound.addEventListener("error", () => sound.getAttribute("src") && told("This sound could not be loaded. Reload the page to see what is still here."));
  watch("value", () => receive(props.value));
  window.addEventListener("higgs-studio:select", (event) => select(event.detail));
  window.addEventListener("higgs-studio:pauses", () => items.length && project && edit({ act: "pauses" }));
  window.addEventListener("higgs-studio:hear", (event) => hear(event.detail));
  window.addEventListener("higgs-studio:status", (event) => {
    speaking = event.detail.state === "running" ? event.detail.text : "";
    showEmpty();
  });
  new ResizeObserver(() => draw()).observe(parts.plots);
  const zone = element.closest(".hs-zone-result");
  new ResizeObserver(() => zone.style.setProperty("--hs-result-height", `${zone.offsetHeight}px`)).observe(zone);
  new MutationObserver(() => draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  receive(props.value);

  function build() {
    const icon = (className, label, text, act) => make("button", { type: "button", class: `hs-icon ${className}`, "aria-label": label, title: label, onclick: act }, text);
    const play = make("button", { type: "button", class: "hs-play", "aria-label": "Play", title: "Play (space)", onclick: toggle }, "▶");
    const seek = make("input", { type: "range", class: "hs-seek", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position" });
    seek.addEventListener("input", () => { stand(Number(seek.value)); tick(); });
    const time = make("span", { class: "hs-time" }, "0:00.0");
    const download = make("a", { class: "hs-button hs-download", download: "" }, "Download WAV");
    const choice = make("div", { class: "hs-switch", role: "group", "aria-label": "What is heard" });
    const takes = make("div", {});
    const canvas = make("canvas", { role: "img" });
    const head = make("div", { class: "hs-playhead", "aria-hidden": "true" });
    const plots = make("div", { class: "hs-plots" }, canvas, head);
    const readout = make("p", { class: "hs-readout", "aria-hidden": "true" }, "\u00a0");
    const zoom = make("div", { class: "hs-zoom" }, icon("", "Zoom out", "−", () => rescale(2)), icon("", "Zoom in", "+", () => rescale(0.5)), icon("", "Show all", "⤢", () => { view = whole(); draw(); }));
    const facts = make("dl", { class: "hs-facts" });
    const notes = make("ul", { class: "hs-notes" });
    const told = make("p", { class: "hs-problem", role: "alert", hidden: true });
    const body = make("div", { class: "hs-sound-body", hidden: true },
      choice, make("div", { class: "hs-transport" }, play, seek, time, download), plots, make("div", { class: "hs-under" }, readout, zoom), told, facts, notes);
    const empty = make("div", { class: "hs-sound-empty" });
    plots.addEventListener("pointermove", (event) => hover(event));
    plots.addEventListener("pointerleave", () => { readout.textContent = "\u00a0"; });
    plots.addEventListener("pointerdown", (event) => grab(event));
    plots.addEventListener("pointermove", (event) => drag && move(event));
    plots.addEventListener("pointerup", (event) => drop(event));
    plots.addEventListener("pointercancel", () => { drag = null; draw(); });
    plots.addEventListener("wheel", (event) => { if (event.ctrlKey) { event.preventDefault(); rescale(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event)); } }, { passive: false });
    sound.addEventListener("play", () => { setPlaying(true); follow(); });
    sound.addEventListener("pause", () => setPlaying(false));
    sound.addEventListener("ended", () => setPlaying(false));
    sound.addEventListener("timeupdate", tick);
    return { root: make("div", {}, empty, body, takes), play, seek, time, download, choice, canvas, head, plots, readout, facts, notes, told, takes, body, empty };
  }

  function item() { return items[shown]; }
  function whole() { return { from: 0, to: Math.max(0.1, ...items.map((one) => one.seconds)) }; }

  /* New items; of the same project the ear stays where it was. */
  function receive(value) {
    if (value?.revision && value.revision <= revision) return; // sent twice, or overtaken by an edit
    revision = value?.revision ?? revision;
    const same = project && value?.project?.token === project.token && items.length;
    if (!same) takes.stop();
    const [at, position, stretch, wholeBefore, heard] = [shown, sound.readyState ? sound.currentTime : resumeAt, view, whole().to, sound.getAttribute("src")];
    items = value?.items ?? [];
    project = value?.project ?? null;
    if (project) memory.write("project", project.token);
    else if (value?.begin) memory.write("project", "");
    window.dispatchEvent(new CustomEvent("higgs-studio:project", { detail: project }));
    nothingYet = value?.empty ?? nothingYet;
    showEmpty();
    parts.empty.hidden = items.length > 0;
    parts.body.hidden = !items.length;
    for (const one of items) decodePictures(one);
    parts.choice.hidden = items.length < 2;
    parts.choice.replaceChildren(...items.map((one, index) => make("button", { type: "button", "aria-pressed": index === 0, onclick: () => choose(index) }, one.title)));
    parts.takes.hidden = !items.length && !project?.can_undo; // the last take deleted can still be had back
    if (!items.length) {
      sound.pause();
      sound.removeAttribute("src");
      shown = 0;
      takes.show(project, null);
      return;
    }
    const stays = same && at < items.length;
    choose(stays ? at : 0, stays && heard === fileUrl(items[at].url));
    if (stays) {
      resumeAt = position;
      if (stretch.to < wholeBefore) view = { from: Math.min(stretch.from, item().seconds), to: stretch.to };
    }
    takes.show(project, blockOf(takes.row));
    draw();
  }

  function showEmpty() {
    const words = speaking || nothingYet;
    if (parts.empty.textContent !== words) parts.empty.textContent = words;
    parts.empty.toggleAttribute("data-busy", Boolean(speaking));
  }

  function decodePictures(one) {
    if (one.ready) return;
    one.peakValues = bytesOf(one.peaks);
    one.ready = true;
  }

  function choose(index, asItIs = false) {
    shown = index;
    [...parts.choice.children].forEach((button, at) => button.setAttribute("aria-pressed", at === index));
    if (!asItIs) {
      sound.pause();
      resumeAt = 0;
      sound.setAttribute("src", fileUrl(item().url));
    }
    parts.download.href = sound.src;
    parts.download.setAttribute("download", item().file_name);
    parts.seek.max = item().seconds;
    view = { from: 0, to: Math.max(0.1, item().seconds) };
    parts.facts.replaceChildren(...item().facts.map(([name, text]) => make("div", { class: "hs-fact" }, make("dt", {}, name), make("dd", {}, text))));
    parts.notes.replaceChildren(...item().notes.map((note) => make("li", {}, note)));
    tick();
    draw();
  }

  /* ---- the project behind it ---- */

  /* Ask the server for a change of the project; it answers with all of it as it is then, or with what hinders. */
  function edit(what) {
    const { token } = project;
    editing = editing.then(async () => {
      const answer = await ask("edit_project", { edit: what }, token);
      if (answer?.view) receive(answer.view);
    });
    return editing;
  }
  /* What the server answers; null where it has no answer, or where another project is open by then. */
  async function ask(name, more, token = project.token) {
    let answer;
    try {
      answer = await server[name]({ page: Editor.state(), project: token, ...more });
    } catch {
      answer = { problem: "The studio does not answer. Reload the page; nothing that was spoken is lost." };
    }
    if (project?.token !== token) return null;
    told(answer.problem ?? "");
    return answer.problem ? null : answer;
  }
  function compare(pair) { return ask("compare_takes", { takes: pair }); }
  function whoSpoke() { return ask("who_spoke", {}); }
  function told(words) {
    parts.told.textContent = words;
    parts.told.hidden = !words;
  }

  const blocks = () => (item()?.lanes ?? []).flatMap((lane) => lane.blocks).sort((a, b) => a.start - b.start);
  const blockOf = (row) => blocks().find((block) => block.rows.includes(row)) ?? null;

  /* A row was chosen: its takes are shown, and what is not playing stands at its beginning. */
  function select(row) {
    if (!project) return;
    takes.select(row);
    const at = items.findIndex((one) => one.lanes.some((lane) => lane.blocks.some((block) => block.rows.includes(row))));
    if (at >= 0 && at !== shown) choose(at);
    const block = blockOf(row);
    if (block && sound.paused) { stand(block.start); tick(); }
    takes.show(project, block);
    draw();
  }
  function hear(row) {
    select(row);
    const block = blockOf(row);
    if (!block) return;
    takes.stop();
    stand(block.start);
    play();
  }

  /* ---- moving blocks ---- */

  function grab(event) {
    if (!item() || event.button) return;
    const place = placeAt(event);
    const seconds = timeAt(event);
    const block = place?.kind === "lane" ? place.lane.blocks.find((one) => seconds >= one.start && seconds < one.end) : null;
    drag = { block, fromX: event.clientX, by: 0, moved: false };
    if (block) parts.plots.setPointerCapture(event.pointerId);
  }
  function move(event) {
    if (!drag.block || !project) return;
    const pixels = event.clientX - drag.fromX;
    if (!drag.moved && Math.abs(pixels) < DRAG_PIXELS) return;
    drag.moved = true;
    drag.by = Math.max(drag.block.least - drag.block.gap, (pixels / parts.plots.clientWidth) * (view.to - view.from));
    parts.readout.textContent = `${(drag.block.gap + drag.by).toFixed(2)} s of silence before line ${drag.block.number}`;
    draw();
  }
  function drop(event) {
    const dropped = drag;
    drag = null;
    if (!item() || !dropped) return;
    if (!dropped.moved) {
      stand(Math.min(timeAt(event), item().seconds));
      if (dropped.block) { takes.select(dropped.block.row); takes.show(project, dropped.block); draw(); }
      tick();
    } else {
      takes.select(dropped.block.row);
      edit({ act: "nudge", row: dropped.block.row, seconds: dropped.block.gap + dropped.by }).then(draw);
    }
  }
  /* Where a block is drawn: the one being dragged, and all behind it, move along. */
  function shifted(block) {
    const by = drag?.moved && block.start >= drag.block.start ? drag.by : 0;
    return [block.start + by, block.end + by];
  }

  function toggle() {
    if (!item()) return;
    takes.stop();
    if (sound.paused) play(); else sound.pause();
  }
  /* Stand at a second, also where the sound is not loaded yet. */
  function stand(seconds) {
    resumeAt = seconds;
    sound.currentTime = seconds;
  }
  function play() {
    sound.play().catch(() => {}); // another sound took its place; one that cannot be loaded says so itself
  }
  function silenceMix() {
    sound.pause();
    window.HiggsStudio.live?.stop();
  }
  function setPlaying(on) {
    if (on) window.HiggsStudio.live?.stop(); // the exact sound takes over
    parts.play.textContent = on ? "❚❚" : "▶";
    parts.play.setAttribute("aria-label", on ? "Pause" : "Play");
    tick();
    if (!on) heardRow("");
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
    if (!sound.paused) heardRow(blocks().findLast((block) => now >= block.start && now < block.end)?.row ?? "");
    const share = (now - view.from) / (view.to - view.from);
    parts.head.style.left = `${100 * share}%`;
    parts.head.hidden = share < 0 || share > 1;
    if (!sound.paused && share > 1) { // turn the page
      const width = view.to - view.from;
      view = { from: now, to: now + width };
      draw();
    }
  }

  function heardRow(row) {
    if (row === heardNow) return;
    heardNow = row;
    window.dispatchEvent(new CustomEvent("higgs-studio:hearing", { detail: row }));
  }

  window.addEventListener("keydown", (event) => {
    if (!item() || !element.offsetParent || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && !event.target.closest?.("button, a, summary, [role=tab], label")) { event.preventDefault(); toggle(); }
    if (event.target.type === "range") return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (event.target.closest?.("[role=tab], [role=radiogroup]")) return;
      stand(Math.max(0, sound.currentTime + (event.key === "ArrowLeft" ? -STEP_SECONDS : STEP_SECONDS)));
      tick();
    }
  });

  /* ---- drawing ---- */

  function rescale(factor, around = sound.currentTime) {
    view = Pictures.zoomed(view, whole().to, factor, around, MOST_ZOOM);
    draw();
  }

  /* Each picture with its place: lanes, then mel spectrograms, then the code map, then the axis. */
  function layout() {
    const pictures = Pictures.stacked(GAP), { add } = pictures;
    const one = item();
    for (const lane of one.lanes) add("lane", LANE, { lane, name: lane.name });
    add("mel", MEL, { one, name: "Mel spectrogram" });
    const books = one.codes[0]?.rows ?? 0;
    if (books) add("codes", books > 1 ? books * CODEBOOK : SINGLE_CODEBOOK, { one, name: books > 1 ? `Codes: ${books} codebooks` : "Codes" });
    add("axis", AXIS);
    return pictures;
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
      if (place.kind === "lane") drawLane(pen, place, x, ink);
      if (place.kind === "mel") Pictures.paint(pen, place, place.one.mel, 0, place.one.seconds, x, Pictures.MEL);
      if (place.kind === "codes") for (const codes of place.one.codes) Pictures.paint(pen, place, codes, codes.start, codes.start + codes.columns / codes.frame_rate, x, Pictures.CODES(codes));
      if (place.name) Pictures.caption(pen, place, place.name, ink);
    }
    tick();
  }

  function drawLane(pen, place, x, ink) {
    const { lane } = place;
    const values = item().peakValues;
    const middle = place.top + place.height / 2;
    const perSecond = values.length / item().seconds;
    for (const block of lane.blocks) {
      const colour = lane.speakers.length > 1 ? ink : speakerColour(lane.speakers[0]); // who speaks when in one breath is not known
      const [start, end] = shifted(block);
      const by = start - block.start;
      pen.fillStyle = pen.strokeStyle = colour;
      pen.globalAlpha = 0.16;
      pen.beginPath();
      pen.roundRect(x(start), place.top + 1, Math.max(2, x(end) - x(start)), place.height - 2, 4);
      pen.fill();
      pen.globalAlpha = 1;
      if (block.rows.includes(takes.row)) { pen.lineWidth = 2; pen.stroke(); }
      for (let at = Math.floor(block.start * perSecond); at < block.end * perSecond && at < values.length; at += 1) {
        const reach = Math.max(0.5, (values[at] / 255) * (place.height / 2 - 3));
        pen.fillRect(x(at / perSecond + by), middle - reach, Math.max(0.6, x(1 / perSecond) - x(0) - 0.2), 2 * reach);
      }
    }
  }

  /* ---- pointing ---- */

  function timeAt(event) {
    const box = parts.plots.getBoundingClientRect();
    return Math.max(0, view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from));
  }

  function lineAt(lane, seconds) {
    const block = lane.blocks.find((one) => seconds >= one.start && seconds < one.end);
    return block ? ` · line ${block.number}; drag to move it` : "";
  }
  function placeAt(event) {
    const y = event.clientY - parts.plots.getBoundingClientRect().top;
    return layout().stack.find((one) => y >= one.top && y < one.top + one.height);
  }

  function hover(event) {
    if (!item() || drag?.moved) return;
    const seconds = timeAt(event);
    const y = event.clientY - parts.plots.getBoundingClientRect().top;
    const place = placeAt(event);
    let words = `${seconds.toFixed(2)} s`;
    const share = place ? (y - place.top) / place.height : 0;
    if (place?.kind === "codes") words += place.one.codes.map((codes) => Pictures.codeWords(codes, seconds, share)).join("");
    else if (place?.kind === "mel") words += Pictures.melWords(place.one.mel, seconds, place.one.seconds, share);
    else if (place?.kind === "lane") words += ` · ${place.lane.name}${lineAt(place.lane, seconds)}`;
    parts.readout.textContent = words;
  }
};
