/* A waveform with two handles: what lies between them is kept. Positions are samples of the recording itself; the server cuts.
   Handles are sliders: arrows move by 10 ms, with Shift by 100 ms, Page keys by 1 s, Home and End to the ends. */
"use strict";

window.HiggsStudio.mountTrim = (host, trimmed) => {
  const { make, bytesOf, fileUrl, Pictures } = window.HiggsStudio;
  const HEIGHT = 96, AXIS = 22, STEP_SECONDS = 0.01, BIG_SECONDS = 0.1, PAGE_SECONDS = 1, SHORTEST_SECONDS = 1;

  const sound = make("audio", { preload: "none" });
  const canvas = make("canvas", { role: "img" });
  const [left, right] = ["start", "end"].map((which) => make("button", { type: "button", class: `hs-handle hs-handle-${which}`, role: "slider", "aria-label": `${which === "start" ? "Start" : "End"} of what is kept` }));
  const head = make("div", { class: "hs-playhead", "aria-hidden": "true", hidden: true });
  const plots = make("div", { class: "hs-plots hs-trim-plots" }, canvas, left, right, head);
  const play = make("button", { type: "button", class: "hs-play", "aria-label": "Play what is kept", title: "Play what is kept", onclick: toggle }, "▶");
  const words = make("p", { class: "hs-trim-words" });
  const whole = make("button", { type: "button", class: "hs-button", onclick: () => set(0, recording.samples) }, "Whole recording");
  const apply = make("button", { type: "button", class: "hs-button hs-trim-apply", onclick: () => trimmed(...chosen) }, "Trim to this");
  host.replaceChildren(sound, plots, make("div", { class: "hs-transport hs-trim-row" }, play, words, whole, apply));

  let recording = null; // {url, samples, rate, peaks}
  let values = new Uint8Array();
  let kept = [0, 0]; // as the server has it
  let chosen = [0, 0]; // as the handles stand
  let editable = false;
  let frame = 0;

  const seconds = (samples) => samples / recording.rate;
  const share = (samples) => samples / recording.samples;

  function set(start, stop) {
    const least = Math.min(recording.samples, SHORTEST_SECONDS * recording.rate);
    const from = Math.round(Math.min(Math.max(0, start), recording.samples - least));
    chosen = [from, Math.round(Math.min(recording.samples, Math.max(stop, from + least)))];
    draw();
  }
  function move(which, samples) {
    const least = Math.min(recording.samples, SHORTEST_SECONDS * recording.rate);
    if (which === left) set(Math.min(samples, chosen[1] - least), chosen[1]);
    else set(chosen[0], Math.max(samples, chosen[0] + least));
  }

  for (const handle of [left, right]) {
    const at = () => chosen[handle === left ? 0 : 1];
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      const to = step ? at() + step * (event.shiftKey ? BIG_SECONDS : STEP_SECONDS) * recording.rate
        : event.key === "PageDown" ? at() - PAGE_SECONDS * recording.rate
          : event.key === "PageUp" ? at() + PAGE_SECONDS * recording.rate
            : event.key === "Home" ? 0 : event.key === "End" ? recording.samples : null;
      if (to === null || !editable) return;
      event.preventDefault();
      event.stopPropagation();
      move(handle, to);
    });
    handle.addEventListener("pointerdown", (event) => {
      if (!editable) return;
      handle.setPointerCapture(event.pointerId);
      handle.focus();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!editable || !handle.hasPointerCapture(event.pointerId)) return;
      const box = plots.getBoundingClientRect();
      move(handle, ((event.clientX - box.left) / box.width) * recording.samples);
    });
  }
  plots.addEventListener("click", (event) => { // hear from here
    if (event.target !== canvas || !recording) return;
    const box = plots.getBoundingClientRect();
    sound.currentTime = seconds(((event.clientX - box.left) / box.width) * recording.samples);
    sound.play().catch(() => {});
  });
  sound.addEventListener("play", () => { look(true); follow(); });
  sound.addEventListener("pause", () => look(false));
  sound.addEventListener("ended", () => look(false));
  new ResizeObserver(draw).observe(plots);
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });

  function toggle() {
    if (!sound.paused) { sound.pause(); return; }
    sound.currentTime = seconds(chosen[0]);
    sound.play().catch(() => {});
  }
  function look(playing) {
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? "Pause" : "Play what is kept");
  }
  function follow() {
    cancelAnimationFrame(frame);
    head.hidden = sound.paused;
    head.style.left = `${100 * (sound.currentTime / seconds(recording.samples))}%`;
    if (sound.currentTime >= seconds(chosen[1])) sound.pause();
    if (!sound.paused) frame = requestAnimationFrame(follow);
  }

  function draw() {
    if (!recording || !plots.clientWidth) return;
    const width = plots.clientWidth;
    const { pen, ink, ground } = Pictures.prepare(canvas, width, HEIGHT + AXIS);
    const accent = getComputedStyle(canvas).getPropertyValue("--color-accent") || "#4f46e5";
    const [from, to] = chosen.map((samples) => share(samples) * width);
    pen.fillStyle = ground;
    pen.fillRect(0, 0, width, HEIGHT);
    for (let column = 0; column < width; column += 1) {
      const first = Math.floor((column / width) * values.length);
      const last = Math.max(first + 1, Math.floor(((column + 1) / width) * values.length));
      const tall = (values.subarray(first, last).reduce((most, one) => Math.max(most, one), 0) / 255) * (HEIGHT - 8);
      const inside = column >= from && column < to;
      pen.fillStyle = inside ? accent : ink;
      pen.globalAlpha = inside ? 0.9 : 0.28;
      pen.fillRect(column, (HEIGHT - tall) / 2, 1, Math.max(1, tall));
    }
    pen.globalAlpha = 1;
    const view = { from: 0, to: seconds(recording.samples) };
    Pictures.axis(pen, { top: HEIGHT + 2 }, view, (time) => (time / view.to) * width, width, ink);
    canvas.setAttribute("aria-label", `Waveform of the recording, ${view.to.toFixed(1)} seconds; ${seconds(chosen[0]).toFixed(2)} to ${seconds(chosen[1]).toFixed(2)} seconds are kept`);
    [left, right].forEach((handle, index) => {
      handle.style.left = `${100 * share(chosen[index])}%`;
      handle.disabled = !editable;
      handle.setAttribute("aria-valuemin", 0);
      handle.setAttribute("aria-valuemax", view.to.toFixed(2));
      handle.setAttribute("aria-valuenow", seconds(chosen[index]).toFixed(2));
      handle.setAttribute("aria-valuetext", `${seconds(chosen[index]).toFixed(2)} seconds`);
    });
    words.textContent = `${seconds(chosen[0]).toFixed(2)} to ${seconds(chosen[1]).toFixed(2)} s: ${seconds(chosen[1] - chosen[0]).toFixed(2)} of ${view.to.toFixed(2)} s`;
    apply.disabled = chosen[0] === kept[0] && chosen[1] === kept[1];
    whole.disabled = chosen[0] === 0 && chosen[1] === recording.samples;
  }

  return {
    /* A recording, and which of its samples are kept; null for none. */
    show(next, range, mayEdit) {
      if (next && next.url !== recording?.url) {
        sound.pause();
        sound.src = fileUrl(next.url);
        values = bytesOf(next.peaks);
        head.hidden = true;
      }
      recording = next ?? recording;
      editable = mayEdit;
      kept = [...range];
      chosen = [...range];
      whole.hidden = apply.hidden = !editable;
      draw();
    },
    stop() { sound.pause(); },
  };
};
