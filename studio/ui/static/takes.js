/* The takes of one line: which is heard, how they differ, the silence before it; and the mix of the whole.
   It changes nothing by itself: every edit goes to the server, which answers with the project as it is then. */
"use strict";

window.HiggsStudio.mountTakes = (root, { edit, compare, whoSpoke, silenceMix }) => {
  const { make, SyncPlayer, Pictures, Editor, speakerColour } = window.HiggsStudio;
  const SETTLE_MS = 300; // arrow keys move a slider by many small steps, one edit in all
  const SEVERAL = 4, MAP_ROW = 7, MAP_GAP = 4, MOST_GAIN = 12, LEAST_GAIN = -24;
  const LOUDNESS = [["", "as it comes"], [-14, "−14 LUFS, streaming"], [-16, "−16 LUFS, podcasts"], [-19, "−19 LUFS, mono podcasts"], [-23, "−23 LUFS, broadcast"]];
  const JOINS = [[0, "as they are"], [0.005, "5 ms fades"], [0.02, "20 ms fades"], [0.1, "100 ms fades"]];

  let project = null;
  let block = null; // the selected row's place on the timeline, if it has one
  let row = ""; // the selected row
  let pair = []; // ids of the takes being compared
  let fresh = new Set(); // ids of the takes that came last, where there were others before
  let matrix = null; // who spoke, as it was last measured
  let listening = false; // while that is measured
  const player = new SyncPlayer(() => showPlaying());
  let settling = 0; // a change of the mix that is not sent yet
  let playing = []; // ids of the takes the player holds

  const parts = build();
  root.replaceChildren(parts.root);

  function build() {
    const title = make("h3", {});
    const words = make("p", { class: "hs-quiet hs-take-words" });
    const again = make("button", { type: "button", class: "hs-button", onclick: () => Editor.speak([row], 1) }, "Speak again");
    const several = make("button", { type: "button", class: "hs-button", title: "Spoken in one batch; the best is chosen, the others are kept", onclick: () => Editor.speak([row], SEVERAL) }, `${SEVERAL} takes`);
    const undo = make("button", { type: "button", class: "hs-button", onclick: () => edit({ act: "undo" }) }, "Undo this edit");
    const list = make("ol", { class: "hs-take-list", "aria-label": "Takes of this line" });
    const gap = make("input", { type: "number", class: "hs-second", step: 0.04, min: -30, max: 30 });
    gap.addEventListener("change", () => edit({ act: "nudge", row, seconds: Number(gap.value) || 0 }));
    const usual = make("button", { type: "button", class: "hs-button", onclick: () => edit({ act: "usual gap", row }) }, "Usual");
    const gapLine = make("div", { class: "hs-gap" }, make("label", {}, "Silence before it ", gap, " s"), usual);
    const compared = make("div", { class: "hs-compared", hidden: true });
    const line = make("div", { class: "hs-take-line" },
      make("header", { class: "hs-head" }, title, again, several), words, list, compared, gapLine);
    const mix = make("details", { class: "hs-mix" }, make("summary", {}, "Mix"));
    const check = make("details", { class: "hs-who-spoke" }, make("summary", {}, "Who spoke"));
    const hint = make("p", { class: "hs-quiet" }, "Choose a line, in the script or on the timeline, to see its takes. Drag a block to move it and what follows.");
    return { root: make("section", { class: "hs-takes", "aria-label": "Takes and mix", hidden: true }, hint, line, mix, check, make("div", { class: "hs-take-foot" }, undo)), title, words, again, several, undo, list, gap, usual, gapLine, compared, line, mix, check, hint };
  }

  /* ---- the line ---- */

  function show(next, place) {
    markFresh(next);
    [project, block] = [next, place];
    parts.root.hidden = !project;
    if (!project) return;
    const line = Editor.lineOf(row);
    const takes = project.rows[row]?.takes ?? [];
    parts.line.hidden = !line || line.divider;
    parts.hint.hidden = !parts.line.hidden;
    parts.undo.hidden = !project.can_undo;
    if (!parts.line.hidden) showLine(line, takes);
    showMix();
    showWhoSpoke();
  }

  function markFresh(next) {
    if (!next || next.token !== project?.token) { fresh = new Set(); return; }
    const came = Object.entries(next.rows).flatMap(([id, { takes }]) => {
      const before = new Set((project.rows[id]?.takes ?? []).map((take) => take.id));
      return before.size ? takes.map((take) => take.id).filter((take) => !before.has(take)) : [];
    });
    if (came.length) fresh = new Set(came);
  }

  function showLine(line, takes) {
    parts.line.style.setProperty("--speaker", speakerColour(line.speaker));
    parts.title.textContent = `Line ${Editor.numberOf(row)} · ${Editor.nameOf(line.speaker)}`;
    parts.words.textContent = takes.length ? `“${line.text}”` : "Not spoken yet.";
    parts.words.title = takes.length ? line.text : "";
    parts.list.replaceChildren(...takes.map(takeRow));
    pair = pair.filter((id) => takes.some((take) => take.id === id));
    parts.gapLine.hidden = !block;
    if (block && parts.gap !== document.activeElement) parts.gap.value = block.gap.toFixed(2);
    if (pair.length < 2) parts.compared.hidden = true;
  }

  function takeRow(take) {
    const name = `take ${take.number}`;
    const chosen = make("input", { type: "radio", name: "hs-chosen-take", "aria-label": `Hear ${name} in the mix` });
    chosen.checked = project.rows[row].chosen === take.id;
    chosen.addEventListener("change", () => edit({ act: "choose", take: take.id }));
    const listen = make("button", { type: "button", class: "hs-icon", "data-take": take.id, "aria-label": `Play ${name}`, title: "Play this take alone", onclick: () => hear([take]) }, "▶");
    const star = make("button", { type: "button", class: "hs-icon hs-star", "aria-pressed": String(take.starred), "aria-label": `Star ${name}`, title: "A favourite", onclick: () => edit({ act: take.starred ? "unstar" : "star", take: take.id }) }, take.starred ? "★" : "☆");
    const both = make("input", { type: "checkbox", "aria-label": `Compare ${name}` });
    both.checked = pair.includes(take.id);
    both.addEventListener("change", () => choosePair(take.id, both.checked));
    const remove = make("button", { type: "button", class: "hs-icon", "aria-label": `Delete ${name}`, title: "Delete", onclick: () => edit({ act: "delete", take: take.id }) }, "✕");
    const fits = take.likelihood == null ? "" : ` · fit ${take.likelihood.toFixed(2)}`;
    const [first, last] = [take.rows[0], take.rows.at(-1)].map(Editor.numberOf);
    const news = (fresh.has(take.id) ? "new · " : "") + (take.rows.length > 1 ? `lines ${first} to ${last} in one breath · ` : "");
    const mark = pair.length === 2 && both.checked ? "AB"[pair.indexOf(take.id)] : "A/B";
    const sound = take.health.length ? make("span", { class: "hs-take-flag" }, take.health.join("; ")) : make("span", {}, "healthy");
    const about = `Seed ${take.seed} gives this take again. Fit: the model’s own mean log-probability of each code; nearer to 0 is better.`;
    return make("li", { class: "hs-take", "data-chosen": chosen.checked },
      make("label", { class: "hs-take-name" }, chosen, ` Take ${take.number}`), listen,
      make("span", { class: "hs-take-facts", title: about }, `${news}${take.seconds.toFixed(2)} s · seed ${take.seed}${fits} · `, sound),
      make("label", { class: "hs-take-compare", title: "Tick two to compare them" }, both, ` ${mark}`), star, remove);
  }

  /* Play takes on one clock, the first of them heard. */
  async function hear(takes) {
    const ids = takes.map((take) => take.id);
    if (player.playing && ids.length === 1 && ids[0] === playing[0]) return player.stop(0);
    silenceMix();
    if (ids.join() !== playing.join()) player.clear();
    playing = ids;
    try {
      await player.load(takes.map((take) => ({ url: take.url })), 24000);
    } catch (problem) {
      parts.words.textContent = problem.message;
      return;
    }
    player.heard = Math.min(player.heard, takes.length - 1);
    player.play(0);
  }
  function showPlaying() {
    for (const button of root.querySelectorAll("[data-take]")) {
      const on = player.playing && playing.length === 1 && button.dataset.take === playing[0];
      button.textContent = on ? "■" : "▶";
    }
    const toggle = parts.compared.querySelector(".hs-play");
    if (toggle) {
      toggle.textContent = player.playing && playing.length === 2 ? "❚❚" : "▶";
      [...parts.compared.querySelectorAll(".hs-switch button")].forEach((button, at) => button.setAttribute("aria-pressed", at === player.heard));
    }
  }
  function stop() {
    if (player.playing) player.stop();
  }

  /* ---- two takes side by side ---- */

  async function choosePair(id, on) {
    pair = on ? [...pair, id].slice(-2) : pair.filter((one) => one !== id);
    show(project, block);
    if (pair.length < 2) return;
    const asked = pair.join();
    const answer = await compare(pair);
    if (!answer || pair.join() !== asked) return;
    showPair(answer);
  }

  function showPair({ takes }) {
    const numbers = takes.map((take) => take.number);
    const difference = Pictures.codeDifference(takes[0].codes, takes[1].codes);
    const canvas = make("canvas", { role: "img", "aria-label": `Codes that differ between takes ${numbers.join(" and ")}` });
    const play = make("button", { type: "button", class: "hs-play", "aria-label": "Play both takes", onclick: () => (playing.length === 2 && player.tracks.length === 2 ? player.toggle() : hear(takes)) }, "▶");
    const choice = make("div", { class: "hs-switch", role: "group", "aria-label": "Which take is heard" },
      ...numbers.map((number, at) => make("button", { type: "button", "aria-pressed": String(at === 0), onclick: () => player.choose(at) }, `${"AB"[at]}: take ${number}`)));
    const words = `${Math.round(100 * difference.share)} % of the codes differ; switching keeps the position.`;
    parts.compared.replaceChildren(make("div", { class: "hs-transport" }, play, choice), make("div", { class: "hs-plots" }, canvas), make("p", { class: "hs-quiet" }, words));
    parts.compared.hidden = false;
    player.clear();
    playing = [];
    const width = parts.compared.clientWidth;
    const maps = Pictures.stacked(MAP_GAP);
    takes.forEach((take, at) => maps.add("codes", take.codes.rows * MAP_ROW, { picture: take.codes, look: Pictures.CODES(take.codes), name: `${"AB"[at]}: codes of take ${take.number}` }));
    maps.add("difference", difference.rows * MAP_ROW, { picture: difference, look: Pictures.DIFFERENT, name: "Where they differ" });
    const { pen, ink, ground } = Pictures.prepare(canvas, width, maps.height);
    const seconds = Math.max(...takes.map((take) => take.seconds));
    const x = (at) => (at / seconds) * width;
    for (const place of maps.stack) {
      pen.fillStyle = ground;
      pen.fillRect(0, place.top, width, place.height);
      Pictures.paint(pen, place, place.picture, 0, place.picture.columns / place.picture.frame_rate, x, place.look);
      Pictures.caption(pen, place, place.name, ink);
    }
  }

  /* ---- the mix ---- */

  function showMix() {
    if (parts.mix.contains(document.activeElement) && document.activeElement.matches("input, select")) return; // not replaced under the hand
    const mixing = project.mixing;
    const sliders = project.speakers.map((name, index) => {
      const slider = make("input", { type: "range", min: LEAST_GAIN, max: MOST_GAIN, step: 0.5, value: mixing.gains_db[index] ?? 0, "aria-label": `Gain of ${name} in dB` });
      slider.addEventListener("change", () => {
        slider.dataset.moved = "";
        send();
      });
      return slider;
    });
    const loudness = menu(LOUDNESS, mixing.loudness_lufs ?? "", () => send());
    const joins = menu(JOINS, mixing.join_seconds, () => send());
    const send = () => { // all of it, as it stands here: a second change does not undo a first whose answer has not come
      clearTimeout(settling);
      settling = setTimeout(() => edit({
        act: "mix",
        gains_db: sliders.map((slider, at) => ("moved" in slider.dataset ? Number(slider.value) : mixing.gains_db[at] ?? 0)),
        loudness_lufs: loudness.value === "" ? null : Number(loudness.value),
        join_seconds: Number(joins.value),
      }), SETTLE_MS);
    };
    parts.mix.replaceChildren(parts.mix.firstElementChild, ...sliders.map(gainLine),
      make("div", { class: "hs-bench-row" }, make("label", { class: "hs-inline" }, "Loudness ", loudness), make("label", { class: "hs-inline" }, "Joins ", joins)));
  }
  function gainLine(slider, index) {
    const inDecibels = () => `${Number(slider.value).toFixed(1)} dB`;
    const told = make("output", {}, inDecibels());
    slider.addEventListener("input", () => { told.textContent = inDecibels(); });
    return make("label", { class: "hs-gain-line", style: `--speaker:${speakerColour(index)}` }, make("span", { class: "hs-dot", "aria-hidden": "true" }), make("span", {}, project.speakers[index]), slider, told);
  }
  function menu(options, value, act) {
    const known = options.some(([one]) => String(one) === String(value));
    const select = make("select", { class: "hs-select" }, ...[...options, ...(known ? [] : [[value, String(value)]])].map(([one, name]) => make("option", { value: one }, name)));
    select.value = value;
    select.addEventListener("change", act);
    return select;
  }

  /* ---- who spoke ---- */

  /* What is heard of each line: a measurement holds for these takes only. */
  const heardTakes = () => JSON.stringify([project.token, Object.entries(project.rows).map(([id, kept]) => [id, kept.chosen])]);

  async function measureWhoSpoke() {
    const heard = heardTakes();
    listening = true;
    showWhoSpoke();
    const answer = await whoSpoke();
    listening = false;
    matrix = answer && { ...answer, heard };
    showWhoSpoke();
  }
  function showWhoSpoke() {
    if (!project) return;
    if (matrix && matrix.heard !== heardTakes()) matrix = null;
    const words = listening ? "Listening …" : matrix ? "Check again" : "Check each line against the cast";
    const measure = make("button", { type: "button", class: "hs-button", disabled: listening, onclick: measureWhoSpoke }, words);
    const content = [measure];
    if (matrix) {
      const head = make("tr", {}, make("th", { scope: "col" }, "Line"), ...matrix.voices.map((name) => make("th", { scope: "col" }, name)));
      const body = matrix.lines.map((line) => make("tr", { "data-swapped": line.swapped },
        make("th", { scope: "row" }, `${line.number} · ${line.speaker}${line.swapped ? " ⚠" : ""}`),
        ...line.similarity.map((value) => make("td", { class: "hs-number-cell" }, value == null ? "–" : value.toFixed(2)))));
      const swapped = matrix.lines.filter((line) => line.swapped).map((line) => line.row);
      content.push(make("div", { class: "hs-scroll" }, make("table", { class: "hs-table" }, make("thead", {}, head), make("tbody", {}, ...body))),
        make("p", { class: "hs-quiet" }, matrix.about));
      if (swapped.length) content.push(make("button", { type: "button", class: "hs-button", onclick: () => Editor.speak(swapped, 1) }, `Speak the ${swapped.length === 1 ? "swapped line" : `${swapped.length} swapped lines`} again`));
    }
    parts.check.replaceChildren(parts.check.firstElementChild, ...content);
  }

  function select(id) {
    if (id !== row) [pair, row] = [[], id];
  }
  return { show, select, stop, get row() { return row; } };
};
