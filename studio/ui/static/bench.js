/* The listening bench: versions of a clip on one clock, a loop, levels matched by LUFS, and their pictures.
   Value: {clips: [{name, token, rate, seconds, versions: [{title, name, file, codes, gain, note, facts}]}], empty,
   desk, play}: `desk` is remembered by the browser, so that a reload finds all this again; `play` is the version of a
   new clip that is heard at once.
   Keys: 1 to 9 switch, 0 is the first version (the original), up and down go through all while the focus is in
   the bench, b is the one heard before, space plays, left and right move, [ and ] set the loop. On the code map left and
   right go by frame, and Enter hears it. */
"use strict";

window.HiggsStudio.mountBench = (element, props, watch, server) => {
  const { make, clock, fileUrl, memory, typing, sideways, Pictures, SyncPlayer } = window.HiggsStudio;
  const WAVE = 64, MEL = 104, CODEBOOK = 11, SINGLE_CODEBOOK = 30, AXIS = 22, GAP = 6;
  const STEP_SECONDS = 1, MOST_ZOOM = 64, DRAG_PIXELS = 4, FEWEST_SECONDS = 0.05;

  const root = element.querySelector(".hs-bench");
  const player = new SyncPlayer(changed);
  const drawn = new Map(); // "token/version" -> pictures, or a promise of them
  const differences = new Map(); // kind and both versions -> picture
  let clips = [];
  let shown = 0; // which clip
  let beside = 0; // which version stands beside the one that is heard
  let before = 0; // which version was heard before it
  let view = { from: 0, to: 1 }; // seconds on the time axis
  let dragging = null; // {from, to, kind}
  let frame = 0;
  let wasPlaying = false;
  let once = null; // {from, to, run}: frames that are heard, or were heard last
  let cursor = 0; // the frame that the keys stand at on the code map
  let byPointer = false; // whether what was done last was done by a pointer

  const item = () => clips[shown];
  const version = () => item()?.versions[player.heard];
  const whole = () => ({ from: 0, to: Math.max(0.05, item()?.seconds ?? 1) });
  const address = (one) => `files/${item().token}/${one.file}`;

  const parts = build();
  root.replaceChildren(parts.empty, parts.body);
  root.tabIndex = -1; // a click anywhere in it gives it the up and down keys
  root.clock = () => player.position(); // for whoever wants to look: seconds, by the clock that plays
  root.player = player;
  watch("value", receive);
  new ResizeObserver(() => draw()).observe(parts.plots);
  new MutationObserver(() => draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  receive();

  function build() {
    const button = (label, text, act, more = {}) => make("button", { type: "button", class: "hs-icon", "aria-label": label, title: label, onclick: act, ...more }, text);
    const clip = make("select", { class: "hs-select", "aria-label": "Clip", onchange: (event) => showClip(Number(event.target.value)) });
    const versions = make("div", { class: "hs-versions", role: "group", "aria-label": "What is heard" });
    const play = button("Play", "▶", () => player.toggle(), { class: "hs-play", title: "Play (space)" });
    const seek = make("input", { type: "range", class: "hs-seek", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position" });
    seek.addEventListener("input", () => player.seek(Number(seek.value)));
    const time = make("span", { class: "hs-time" }, "0:00.0");
    const level = make("input", { type: "checkbox", checked: true, onchange: () => listen() });
    const limit = make("input", { type: "checkbox", onchange: () => player.limit(limit.checked) });
    const loop = make("input", { type: "checkbox", onchange: () => player.setRegion(player.region, loop.checked) });
    const [from, to] = ["Loop from", "Loop to"].map((label) => make("input", { type: "number", class: "hs-second", min: 0, step: 0.01, placeholder: label === "Loop from" ? "start" : "end", "aria-label": `${label} (seconds)`, onchange: typedRegion }));
    const all = make("button", { type: "button", class: "hs-button", onclick: () => region(null, false) }, "Whole clip");
    const canvas = make("canvas", { role: "img" });
    const mark = make("div", { class: "hs-region", "aria-hidden": "true", hidden: true });
    const head = make("div", { class: "hs-playhead", "aria-hidden": "true" });
    const frames = make("div", { class: "hs-frames", role: "slider", tabindex: 0, "aria-label": "Code map, frame", "aria-valuemin": 0, hidden: true, onkeydown: stepped, onfocus: () => stand(frameNow()) }, make("i", {}));
    const plots = make("div", { class: "hs-plots" }, canvas, mark, head, frames);
    const readout = make("p", { class: "hs-readout", "aria-hidden": "true" }, "\u00a0");
    const zoom = make("div", { class: "hs-zoom" }, button("Zoom out", "−", () => rescale(2)), button("Zoom in", "+", () => rescale(0.5)), button("Show all", "⤢", () => { view = whole(); draw(); }));
    const other = make("select", { class: "hs-select", "aria-label": "Beside it", onchange: () => { beside = Number(other.value); draw(); } });
    const differ = make("input", { type: "checkbox", onchange: () => draw() });
    const said = make("p", { class: "hs-quiet hs-said", role: "status" });
    const problem = make("p", { class: "hs-problem", role: "alert", hidden: true });
    const facts = make("dl", { class: "hs-facts" });
    const books = make("details", { class: "hs-books" });
    const wav = make("a", { class: "hs-button hs-download", download: "" }, "Download WAV");
    const npz = make("a", { class: "hs-button hs-download-codes", download: "" }, "Download codes");
    const body = make("div", { class: "hs-sound-body", hidden: true },
      make("label", { class: "hs-inline hs-clip" }, "Clip ", clip), versions,
      make("div", { class: "hs-transport" }, play, seek, time),
      make("div", { class: "hs-bench-row" },
        make("label", { class: "hs-inline", title: "Every version as loud as the original (LUFS, ITU-R BS.1770)" }, level, "Match levels"),
        make("label", { class: "hs-inline", title: "All versions through one low-pass, the original too: what differs then is not the sample rate" }, limit, "Limit all to 16 kHz"),
        make("label", { class: "hs-inline" }, loop, "Loop"), make("span", { class: "hs-inline" }, from, "to", to, "s"), all),
      problem, plots,
      make("div", { class: "hs-under" }, readout, zoom),
      make("p", { class: "hs-quiet" }, "Drag over the pictures to loop a stretch; click the code map to hear exactly that frame.", make("span", { class: "hs-only-keys" }, " Keys: 1 to 9 switch (0 is the original), ↑ ↓ go through all (after a click here), b is the one heard before, space plays, ← → move, [ and ] set the loop; on the code map (Tab goes there) ← → go by frame and Enter hears it.")),
      make("div", { class: "hs-bench-row" }, make("label", { class: "hs-inline" }, "Beside it ", other), make("label", { class: "hs-inline" }, differ, "Show differences")),
      said, facts, books, make("div", { class: "hs-bench-row" }, wav, npz));
    plots.addEventListener("pointerdown", pointed);
    plots.addEventListener("pointermove", moved);
    plots.addEventListener("pointerup", released);
    plots.addEventListener("pointercancel", () => { dragging = null; mark.hidden = true; });
    plots.addEventListener("pointerleave", () => { readout.textContent = "\u00a0"; });
    plots.addEventListener("wheel", (event) => { if (event.ctrlKey) { event.preventDefault(); rescale(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event)); } }, { passive: false });
    return { empty: make("div", { class: "hs-sound-empty" }), body, clip, versions, play, seek, time, level, loop, from, to, all, canvas, mark, head, frames, plots, readout, other, differ, said, problem, facts, books, wav, npz };
  }

  /* ---- what the server sent ---- */

  function receive() {
    const was = item()?.token;
    clips = props.value?.clips ?? [];
    if (props.value?.desk) memory.write("lab", props.value.desk);
    parts.empty.textContent = props.value?.empty ?? "";
    parts.empty.hidden = clips.length > 0;
    parts.body.hidden = !clips.length;
    if (!clips.length) { player.clear(); return; }
    const kept = clips.findIndex((one) => one.token === was);
    parts.clip.replaceChildren(...clips.map((one, index) => make("option", { value: index }, one.name)));
    parts.clip.closest("label").hidden = clips.length < 2;
    if (kept < 0) showClip(0, props.value.play); else { shown = kept; parts.clip.value = kept; listVersions(); listen(); }
  }

  /* `play`: the version that is heard at once, if one is. */
  function showClip(index, play = null) {
    player.clear();
    forget();
    [shown, beside, before, cursor] = [index, 0, 0, 0];
    view = whole();
    parts.clip.value = index;
    parts.loop.checked = player.loop = false;
    listVersions();
    const loaded = listen();
    if (play === null) return;
    const { token } = item();
    choose(play);
    loaded.then(() => { if (item()?.token === token) player.play(0); });
  }

  function listVersions() {
    const found = item().versions;
    parts.versions.replaceChildren(...found.map((one, index) => make("button", { type: "button", class: "hs-version", "aria-pressed": String(index === player.heard), title: one.note || null, onclick: () => choose(index) },
      make("kbd", { title: index < 9 ? null : "Arrow keys up and down reach it" }, index < 9 ? String(index + 1) : "↕"), make("span", {}, one.title), make("small", { class: "hs-gain" }, gainWords(one)))));
    parts.other.replaceChildren(...found.map((one, index) => make("option", { value: index, selected: index === beside }, one.title)));
  }

  function gainWords(one) {
    if (one.gain == null || !parts.level.checked) return "";
    return `${one.gain <= -0.05 ? "−" : one.gain < 0.05 ? "" : "+"}${Math.abs(one.gain).toFixed(1)} dB`;
  }

  /* Give the player what there is: new versions join what is playing. */
  function listen() {
    const matched = parts.level.checked;
    [...parts.versions.querySelectorAll(".hs-gain")].forEach((place, index) => { place.textContent = gainWords(item().versions[index]); });
    parts.problem.hidden = true;
    const loaded = player.load(item().versions.map((one) => ({ url: address(one), gain: matched ? one.gain ?? 0 : 0 })), item().rate)
      .catch((problem) => complain(problem.message));
    describe();
    draw();
    return loaded;
  }

  function complain(words) {
    parts.problem.textContent = words;
    parts.problem.hidden = false;
  }

  function choose(index) {
    if (!item()?.versions[index]) return;
    if (index !== player.heard) { before = player.heard; forget(); }
    player.choose(index);
    describe();
    draw();
  }

  function describe() {
    const one = version();
    [...parts.versions.children].forEach((button, index) => button.setAttribute("aria-pressed", index === player.heard));
    parts.facts.replaceChildren(...one.facts.map(([name, text]) => make("div", { class: "hs-fact" }, make("dt", {}, name), make("dd", {}, text))));
    parts.wav.href = fileUrl(address(one));
    parts.wav.setAttribute("download", `${one.name}.wav`);
    parts.npz.hidden = !one.codes;
    if (one.codes) {
      parts.npz.href = fileUrl(`files/${item().token}/${one.codes}`);
      parts.npz.setAttribute("download", `${one.name}.npz`);
    }
  }

  /* ---- pictures ---- */

  /* Pictures of a version, fetched when first looked at; undefined until they are there. */
  function pictures(index) {
    const { token } = item();
    const key = `${token}/${index}`;
    if (!drawn.has(key)) {
      drawn.set(key, server.bench_pictures({ token, version: index }).then((found) => {
        if (found.problem) { complain(found.problem); drawn.set(key, null); return; }
        drawn.set(key, found);
        if (drawn.size > 24) drawn.delete(drawn.keys().next().value);
        draw();
      }).catch(() => drawn.delete(key)));
    }
    const found = drawn.get(key);
    return found && !(found instanceof Promise) ? found : undefined;
  }

  function difference(kind, make_) {
    const key = `${kind}/${item().token}/${beside}/${player.heard}`;
    if (!differences.has(key)) {
      if (differences.size > 12) differences.clear();
      differences.set(key, make_());
    }
    return differences.get(key);
  }

  function layout() {
    const stacked = Pictures.stacked(GAP), { add } = stacked;
    const [here, there] = [pictures(player.heard), beside === player.heard ? undefined : pictures(beside)];
    const names = item().versions.map((one) => one.title);
    const differing = parts.differ.checked && beside !== player.heard;
    add("wave", WAVE, { name: names[player.heard] });
    add("mel", MEL, { picture: here?.mel, name: "Mel spectrogram" });
    if (beside !== player.heard && !differing) add("mel", MEL, { picture: there?.mel, name: `${names[beside]}: mel spectrogram` });
    if (differing) add("melDifference", MEL, { picture: here && there && difference("mel", () => Pictures.melDifference(there.mel, here.mel)), name: `Louder (red) or quieter (blue) than ${names[beside]}, up to 40 dB` });
    if (here?.codes) {
      const height = here.codes.rows > 1 ? here.codes.rows * CODEBOOK : SINGLE_CODEBOOK;
      add("codes", height, { picture: here.codes, name: here.codes.rows > 1 ? `Codes: ${here.codes.rows} codebooks` : "Codes" });
      if (differing && Pictures.comparable(here.codes, there?.codes)) {
        const picture = difference("codes", () => Pictures.codeDifference(there.codes, here.codes));
        add("codeDifference", height, { picture, name: `Other codes than ${names[beside]}: ${Math.round(100 * picture.share)} %` });
      }
    }
    add("axis", AXIS);
    return { stack: stacked.stack, height: stacked.height, here };
  }

  function draw() {
    if (!item() || !version() || !parts.plots.clientWidth) return;
    const { stack, height, here } = layout();
    const width = parts.plots.clientWidth;
    const { pen, ink, ground } = Pictures.prepare(parts.canvas, width, height);
    parts.canvas.setAttribute("aria-label", `${version().title}: ${stack.map((place) => place.name).filter(Boolean).join("; ")}; over ${item().seconds.toFixed(1)} seconds`);
    const x = (seconds) => ((seconds - view.from) / (view.to - view.from)) * width;
    for (const place of stack) {
      if (place.kind === "axis") { Pictures.axis(pen, place, view, x, width, ink); continue; }
      pen.fillStyle = ground;
      pen.fillRect(0, place.top, width, place.height);
      if (place.kind === "wave") drawWave(pen, place, width, ink);
      else if (place.picture) {
        const { picture } = place;
        const end = picture.frame_rate ? picture.columns / picture.frame_rate : item().seconds;
        const how = { mel: Pictures.MEL, codes: Pictures.CODES(picture), melDifference: Pictures.DIFFERENCE, codeDifference: Pictures.DIFFERENT }[place.kind];
        Pictures.paint(pen, place, picture, 0, end, x, how);
      }
      if (place.name) Pictures.caption(pen, place, place.name, ink);
    }
    parts.canvas.dataset.codes = JSON.stringify(stack.filter((place) => place.kind === "codes").map(({ top, height: tall }) => ({ top, height: tall }))[0] ?? null);
    parts.canvas.dataset.painted = here ? `${item().token}/${player.heard}` : "";
    placeFrames(stack.find((place) => place.kind === "codes"));
    listBooks(here?.books ?? []);
    tick();
  }

  /* What the keys take hold of lies over the code map, and lets pointers through. */
  function placeFrames(place) {
    parts.frames.hidden = !place;
    if (!place) return;
    const { columns, frame_rate: rate, rows } = place.picture;
    cursor = Math.min(cursor, columns - 1);
    Object.assign(parts.frames.style, { top: `${place.top}px`, height: `${place.height}px` });
    parts.frames.setAttribute("aria-valuemax", columns - 1);
    parts.frames.setAttribute("aria-valuenow", cursor);
    const values = Pictures.unpack(place.picture).values;
    const codes = Array.from({ length: rows }, (_, row) => values[row * columns + cursor]);
    parts.frames.setAttribute("aria-valuetext", `Frame ${cursor} of ${columns}, at ${(cursor / rate).toFixed(2)} s; ${rows > 1 ? "codes" : "code"} ${codes.join(" ")}`);
    const share = (seconds) => (seconds - view.from) / (view.to - view.from);
    const spot = parts.frames.firstChild;
    spot.style.left = `${100 * share(cursor / rate)}%`;
    spot.style.width = `${100 * (share((cursor + 1) / rate) - share(cursor / rate))}%`;
  }

  /* The waveform as it is played, level included, from the samples themselves. */
  function drawWave(pen, place, width, ink) {
    const track = player.tracks[player.heard];
    if (!track?.buffer) return;
    const samples = track.buffer.getChannelData(0);
    const gain = 10 ** (track.gain / 20);
    const middle = place.top + place.height / 2;
    const perPixel = ((view.to - view.from) * track.buffer.sampleRate) / width;
    const start = view.from * track.buffer.sampleRate;
    pen.fillStyle = ink;
    pen.globalAlpha = 0.75;
    for (let column = 0; column < width; column += 1) {
      let [low, high] = [1, -1];
      const end = Math.min(samples.length, Math.max(Math.ceil(start + (column + 1) * perPixel), Math.floor(start + column * perPixel) + 1));
      for (let at = Math.floor(start + column * perPixel); at < end; at += 1) {
        if (samples[at] < low) low = samples[at];
        if (samples[at] > high) high = samples[at];
      }
      if (high >= low) pen.fillRect(column, middle - Math.min(1, high * gain) * (place.height / 2 - 1), 1, Math.max(1, (Math.min(1, high * gain) - Math.max(-1, low * gain)) * (place.height / 2 - 1)));
    }
    pen.globalAlpha = 1;
  }

  function listBooks(books) {
    parts.books.hidden = !books.length;
    const key = JSON.stringify(books);
    if (!books.length || parts.books.dataset.key === key) return;
    parts.books.dataset.key = key;
    const head = ["Codebook", "Codes used", "Share used", "Entropy (bit/frame)", "Entropy (kbit/s)"];
    parts.books.replaceChildren(make("summary", {}, "What each codebook carries"), sideways("What each codebook carries", make("table", { class: "hs-table" },
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...books.map((book) => make("tr", {}, make("th", { scope: "row" }, String(book.codebook)),
        ...[book.used, `${(100 * book.share).toFixed(1)} %`, book.bits.toFixed(2), book.kbps.toFixed(3)].map((text) => make("td", {}, String(text)))))))));
  }

  function rescale(factor, around = player.position()) {
    view = Pictures.zoomed(view, whole().to, factor, around, MOST_ZOOM);
    draw();
  }

  /* ---- playing ---- */

  function changed() {
    const playing = player.playing;
    if (once && (playing ? player.run !== once.run : player.paused && player.paused !== once.from)) forget(); // something else is heard, or stood at
    parts.play.textContent = playing ? "❚❚" : "▶";
    parts.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    parts.play.disabled = !player.tracks[player.heard]?.buffer;
    if (playing && !wasPlaying) follow();
    wasPlaying = playing;
    parts.loop.checked = player.loop;
    parts.from.value = player.region ? player.region.from.toFixed(2) : "";
    parts.to.value = player.region ? player.region.to.toFixed(2) : "";
    parts.all.disabled = !player.region;
    draw();
  }
  function follow() {
    cancelAnimationFrame(frame);
    tick();
    if (player.playing) frame = requestAnimationFrame(follow);
  }
  function tick() {
    const now = player.position();
    const length = item()?.seconds ?? 0;
    parts.seek.max = length;
    parts.seek.value = now;
    parts.seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${length.toFixed(1)} seconds`);
    parts.time.textContent = `${clock(now)} / ${clock(length)}`;
    const share = (now - view.from) / (view.to - view.from);
    parts.head.style.left = `${100 * share}%`;
    parts.head.hidden = share < 0 || share > 1;
    showRegion(dragging?.wide ? dragging : player.region ?? once);
    if (player.playing && share > 1 && !player.region) { // turn the page
      view = Pictures.zoomed({ from: now, to: now + view.to - view.from }, whole().to, 1, now, MOST_ZOOM);
      draw();
    }
  }
  function showRegion(place) {
    parts.mark.hidden = !place;
    if (!place) return;
    const share = (seconds) => Math.min(1, Math.max(0, (seconds - view.from) / (view.to - view.from)));
    const [left, right] = [Math.min(place.from, place.to), Math.max(place.from, place.to)].map(share);
    parts.mark.style.left = `${100 * left}%`;
    parts.mark.style.width = `${100 * (right - left)}%`;
  }

  function region(place, loop) {
    player.setRegion(place, loop);
  }
  function typedRegion() {
    const [from, to] = [Number(parts.from.value || 0), Number(parts.to.value || item().seconds)];
    const end = Math.min(to, item().seconds);
    if (end - from >= FEWEST_SECONDS) region({ from: Math.max(0, from), to: end }, true);
    else changed(); // too short to be heard: as it was
  }

  /* ---- pointing: a click moves, a drag loops; on the code map both play exactly those frames ---- */

  function timeAt(event) {
    const box = parts.plots.getBoundingClientRect();
    return Math.min(item().seconds, Math.max(0, view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from)));
  }
  function placeAt(event) {
    const y = event.clientY - parts.plots.getBoundingClientRect().top;
    const place = layout().stack.find((one) => y >= one.top && y < one.top + one.height);
    return place ? { ...place, share: (y - place.top) / place.height } : null;
  }
  function pointed(event) {
    if (!item() || event.button) return;
    const seconds = timeAt(event);
    const place = placeAt(event);
    dragging = { x: event.clientX, from: seconds, to: seconds, place, wide: false };
    parts.plots.setPointerCapture?.(event.pointerId);
  }
  function moved(event) {
    if (!item()) return;
    const seconds = timeAt(event);
    const place = placeAt(event);
    let words = `${seconds.toFixed(2)} s`;
    if (place?.kind === "codes") words += Pictures.codeWords(place.picture, seconds, place.share);
    else if (place?.kind === "mel" && place.picture) words += Pictures.melWords(place.picture, seconds, item().seconds, place.share);
    parts.readout.textContent = words;
    if (!dragging) return;
    dragging.to = seconds;
    dragging.wide ||= Math.abs(event.clientX - dragging.x) > DRAG_PIXELS;
    showRegion(dragging.wide ? dragging : player.region ?? once);
  }
  function released(event) {
    if (!dragging) return;
    const { from, to, place, wide } = dragging;
    dragging = null;
    const [start, end] = [Math.min(from, to), Math.max(from, to)];
    if (place?.kind === "codes" || place?.kind === "codeDifference") hearFrames(place.picture, start, end);
    else if (!wide) {
      const outside = player.region && (start < player.region.from || start > player.region.to);
      if (outside) region(null, false);
      player.seek(start);
    }
    else if (end - start >= FEWEST_SECONDS) { region({ from: start, to: end }, true); if (!player.playing) player.paused = start; }
    tick();
  }

  /* Exactly those frames, once, and then all of it again; with Loop on, again and again. */
  function hearFrames(codes, start, end) {
    const rate = codes.frame_rate;
    const first = Math.min(Math.floor(start * rate + 1e-6), codes.columns - 1);
    const last = Math.min(Math.max(first + 1, Math.ceil(end * rate - 1e-6)), codes.columns);
    const place = { from: first / rate, to: Math.min(last / rate, item().seconds) };
    forget();
    player.halt();
    player.region = place;
    player.play(place.from);
    if (!player.loop) player.region = null;
    cursor = first;
    if (player.playing) {
      once = { ...place, run: player.run };
      parts.said.textContent = last - first === 1 ? `Frame ${first} is heard.` : `Frames ${first} to ${last - 1} are heard.`;
    }
    changed();
  }
  function forget() {
    once = null;
    parts.said.textContent = "";
  }

  /* ---- keys ---- */

  const codesHere = () => pictures(player.heard)?.codes;
  const frameNow = () => Math.floor(player.position() * codesHere().frame_rate + 1e-6);

  /* Stand at a frame of the code map, and have it in sight. */
  function stand(frame) {
    const codes = codesHere();
    if (!codes) return;
    cursor = Math.min(codes.columns - 1, Math.max(0, frame));
    const at = (cursor + 0.5) / codes.frame_rate;
    if (at < view.from || at > view.to) view = Pictures.zoomed({ from: at, to: at + view.to - view.from }, whole().to, 1, at, MOST_ZOOM);
    draw();
    parts.readout.textContent = parts.frames.getAttribute("aria-valuetext");
  }
  function stepped(event) {
    const codes = codesHere();
    if (!codes || event.ctrlKey || event.metaKey || event.altKey) return;
    const second = Math.round(codes.frame_rate);
    const wanted = { ArrowLeft: cursor - 1, ArrowRight: cursor + 1, PageUp: cursor - second, PageDown: cursor + second, Home: 0, End: codes.columns - 1 }[event.key];
    if (wanted !== undefined) stand(wanted);
    else if (event.key === "Enter") hearFrames(codes, cursor / codes.frame_rate, cursor / codes.frame_rate);
    else return;
    event.preventDefault();
    event.stopPropagation(); // here the arrows go by frame, not by second
  }

  /* Space plays also where a version was just chosen, whose own key is Enter; a box ticked by a pointer gives the key back. */
  const playsBySpace = (target) => root.contains(target) && target.closest(".hs-version") || !target.closest?.("button, a, summary, [role=tab], label, input");
  root.addEventListener("pointerdown", () => { byPointer = true; });
  root.addEventListener("keydown", () => { byPointer = false; });
  root.addEventListener("change", (event) => { if (byPointer && event.target.type === "checkbox") root.focus({ preventScroll: true }); });
  root.addEventListener("keyup", (event) => { if (event.key === " " && event.target.closest(".hs-version")) event.preventDefault(); }); // Firefox clicks then

  window.addEventListener("keydown", (event) => {
    if (!item() || !element.offsetParent || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && playsBySpace(event.target)) { event.preventDefault(); player.toggle(); }
    else if (/^[0-9]$/.test(event.key)) choose(Math.max(0, event.key - 1));
    else if (event.key === "b") choose(before);
    else if (event.key === "[" || event.key === "]") {
      const now = player.position();
      const [from, to] = event.key === "[" ? [now, player.region?.to ?? item().seconds] : [player.region?.from ?? 0, now];
      if (to - from >= FEWEST_SECONDS) region({ from, to }, true);
    } else if (event.key.startsWith("Arrow") && event.target.type !== "range" && !event.target.closest?.("[role=tab], [role=radiogroup], [role=listbox], .hs-scroll, select")) {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (step && root.contains(event.target)) { // more versions than digits; elsewhere they scroll the page
        event.preventDefault();
        const count = item().versions.length;
        choose((player.heard + step + count) % count);
      }
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") player.seek(player.position() + (event.key === "ArrowLeft" ? -STEP_SECONDS : STEP_SECONDS));
    }
  });
};
