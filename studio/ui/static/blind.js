/* Blind tests: ABX and a short MUSHRA. The page knows files with random names and nothing else; what is what stays on the
   server until the test is done. Value: {clips: [{name, token, rate, versions: [{title}]}]}.
   ABX keys: 1, 2, 3 hear A, B, X; space plays; a and b answer. MUSHRA keys: 0 the reference, 1 to 9 the sounds.
   Both take no answer before every sound in question was heard, for HEARD_SECONDS at least. A reload finds the test again. */
"use strict";

window.HiggsStudio.mountBlind = (element, props, watch, server, trials) => {
  const { make, clock, bytesOf, typing, memory, sideways, SyncPlayer } = window.HiggsStudio;
  const root = element.querySelector(".hs-blind");
  const EMPTY = "Compare some codecs first: then their versions can be told apart here (ABX), or rated (MUSHRA), without knowing which is which.";

  const HEARD_SECONDS = 0.2;

  let clips = [];
  let loading = 0; // counts what was asked to be loaded: only the last of it may fill the player
  let phase = null; // {keys: function of a key, tick: function} of what is on the page
  let kind = "abx";
  let frame = 0;
  const chosen = { clip: 0, first: 0, second: 1, trials: 8, versions: null, listener: "", limited: false };
  const player = new SyncPlayer(() => { phase?.tick?.(); follow(); });
  const problem = make("p", { class: "hs-problem", role: "alert", hidden: true });
  const stage = make("div", {});
  root.replaceChildren(stage, problem); // below what was pressed, so that nothing moves away from under a finger
  root.player = player; // for whoever wants to look

  function receive() {
    clips = props.value?.clips ?? [];
    [chosen.clip, chosen.first, chosen.second, chosen.versions] = [0, 0, 1, null];
    if (!phase) setup(); // a new comparison ends no test, and takes no result away
  }

  /* The test that was on this page before it was loaded again; whatever has become of it is no news to anybody. */
  async function resume() {
    const kept = memory.read("blind");
    if (!kept?.test) return;
    phase = { running: false };
    const found = await server.blind_resume(kept).catch(() => null);
    phase = null;
    if (!found) setup(); // the studio did not answer: the next reload may find it
    else if (found.abx) await abxTrial(found.abx);
    else if (found.sheet) await mushraSheet(found.sheet, kept.ratings);
    else if (found.rated) mushraResult(found.rated);
    else fresh();
  }

  /* Leave the test that was on the page. */
  function fresh() {
    memory.write("blind", null);
    phase = null;
    setup();
  }

  function show(...parts) {
    problem.hidden = true;
    stage.replaceChildren(...parts);
  }
  function complain(words) {
    problem.textContent = words;
    problem.hidden = false;
  }
  /* Ask the server; a problem is said and undefined comes back. */
  async function ask(what, asked) {
    try {
      const answer = await server[what](asked);
      if (answer.problem) { complain(answer.problem); return undefined; }
      problem.hidden = true;
      return answer;
    } catch {
      complain("The studio did not answer. Try again.");
      return undefined;
    }
  }
  function follow() {
    cancelAnimationFrame(frame);
    phase?.tick?.();
    if (player.playing) frame = requestAnimationFrame(follow);
  }
  const save = (name, type, content, text) => make("a", { class: "hs-button", download: name, href: URL.createObjectURL(new Blob([content], { type })) }, text);
  const select = (label, options, value, act) => make("label", { class: "hs-inline" }, label, make("select", { class: "hs-select", onchange: (event) => act(Number(event.target.value)) }, ...options.map(([at, text]) => make("option", { value: at, selected: at === value }, text))));

  /* ---- choosing ---- */

  function setup() {
    loading += 1;
    player.clear();
    phase = null;
    if (!clips.length) { show(make("div", { class: "hs-sound-empty" }, EMPTY)); return; }
    const clip = clips[chosen.clip];
    const versions = clip.versions.map((one, index) => [index, one.title]);
    chosen.versions ??= new Set(versions.slice(1, 5).map(([index]) => index));
    const tab = (name, words) => make("button", { type: "button", "aria-pressed": String(kind === name), onclick: () => { kind = name; setup(); } }, words);
    const start = make("button", { type: "button", class: "hs-button hs-main", onclick: async () => { start.disabled = true; await (kind === "abx" ? startAbx() : startMushra()); start.disabled = false; missed(root.querySelector(".hs-listener")); } }, "Start");
    const shared = [
      make("div", { class: "hs-switch", role: "group", "aria-label": "Kind of test" }, tab("abx", "ABX"), tab("mushra", "MUSHRA")),
      make("div", { class: "hs-bench-row" }, clips.length > 1 ? select("Clip ", clips.map((one, index) => [index, one.name]), chosen.clip, (at) => { [chosen.clip, chosen.first, chosen.second, chosen.versions] = [at, 0, 1, null]; setup(); }) : null),
    ];
    const limited = make("label", { class: "hs-inline", title: "All without what lies above 8 kHz, the original too: a codec of 16 kHz is then not known by its missing highs" },
      make("input", { type: "checkbox", checked: chosen.limited, onchange: (event) => { chosen.limited = event.target.checked; } }), "Limit all to 16 kHz");
    if (kind === "abx") {
      const needed = new Map(trials); // correct answers for p < 0.05, by number of trials
      const hint = make("p", { class: "hs-quiet" });
      const tell = () => { hint.textContent = `Guessing is ruled out (p < 0.05) by ${needed.get(chosen.trials)} of ${chosen.trials} correct answers. Answers are shown when all trials are done: stopping when it looks good is no test.`; };
      tell();
      show(...shared,
        make("p", {}, "X is A or B, drawn anew for each trial. Can you tell which?"),
        make("div", { class: "hs-bench-row" }, select("One ", versions, chosen.first, (at) => { chosen.first = at; }), select("Other ", versions, chosen.second, (at) => { chosen.second = at; }),
          select("Trials ", [...needed.keys()].map((count) => [count, String(count)]), chosen.trials, (count) => { chosen.trials = count; tell(); })),
        hint, make("div", { class: "hs-bench-row" }, limited), make("div", { class: "hs-bench-row" }, start));
      return;
    }
    const tick = ([index, title]) => make("label", { class: "hs-inline" }, make("input", { type: "checkbox", checked: chosen.versions.has(index), onchange: (event) => { if (event.target.checked) chosen.versions.add(index); else chosen.versions.delete(index); } }), title);
    const listener = listenerField(chosen.listener, (name) => { chosen.listener = name; });
    show(...shared,
      make("p", {}, "Rate each sound from 0 (bad) to 100 (excellent) against the reference. Hidden among them are the reference itself and an anchor without anything above 3.5 kHz."),
      make("div", { class: "hs-checks", role: "group", "aria-label": "Versions to rate" }, ...versions.slice(1).map(tick)),
      make("div", { class: "hs-bench-row" }, listener, limited),
      make("div", { class: "hs-bench-row" }, start));
  }

  /* "A, B and X have", "X has" */
  const listed = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)} have` : `${names[0]} has`);

  /* Who rates: nothing is rated by nobody. */
  function listenerField(value = "", typed = () => {}) {
    const input = make("input", { type: "text", class: "hs-text hs-listener", maxlength: 40, value, required: true });
    input.addEventListener("input", () => { input.removeAttribute("aria-invalid"); typed(input.value); });
    return make("label", { class: "hs-inline" }, make("span", { class: "hs-required" }, "Listener"), input);
  }
  /* Where the name was missing, the field is marked and ready for it. */
  function missed(input) {
    if (!input || input.value.trim()) return;
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }

  const leave = (test) => make("button", { type: "button", class: "hs-button", onclick: () => { server.blind_end({ test }).catch(() => {}); fresh(); } }, "Leave the test");

  /* Play, position, and buttons for what can be heard; the same for both tests. */
  function transport(names, keyNames) {
    const play = make("button", { type: "button", class: "hs-play", "aria-label": "Play", title: "Play (space)", onclick: () => player.toggle() }, "▶");
    const seek = make("input", { type: "range", class: "hs-seek", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position", oninput: (event) => player.seek(Number(event.target.value)) });
    const time = make("span", { class: "hs-time" }, "0:00.0");
    const buttons = names.map((name, index) => make("button", { type: "button", class: "hs-version hs-hear", "aria-pressed": String(index === 0), onclick: () => hear(index) }, make("kbd", {}, keyNames[index]), make("span", {}, name)));
    function hear(index) {
      player.choose(index);
      if (!player.playing) player.play();
    }
    const sounded = names.map(() => 0); // seconds of each, by the clock that plays
    let last = null; // {index, now}: what sounded when it was looked at last
    function listen() {
      const [index, now] = [player.heard, player.context?.currentTime];
      const sounding = player.playing && player.tracks[index]?.source && now >= player.run.when;
      if (sounding && last?.index === index) sounded[index] += now - last.now;
      last = sounding ? { index, now } : null;
      if (sounded[index] >= HEARD_SECONDS) buttons[index].setAttribute("data-heard", "");
    }
    function tick() {
      listen();
      play.textContent = player.playing ? "❚❚" : "▶";
      play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
      play.disabled = !player.tracks[player.heard]?.buffer;
      seek.max = player.length;
      seek.value = player.position();
      time.textContent = `${clock(player.position())} / ${clock(player.length)}`;
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === player.heard));
    }
    /* Those that have not sounded yet. */
    const unheard = () => names.filter((name, index) => sounded[index] < HEARD_SECONDS);
    return { row: make("div", { class: "hs-transport" }, play, seek, time), buttons, hear, tick, unheard };
  }
  async function load(urls) {
    const mine = ++loading;
    player.clear();
    player.loop = true;
    try {
      const { rate } = await SyncPlayer.fetch(urls[0]); // all have one, and a browser resamples badly
      if (mine === loading) await player.load(urls.map((url) => ({ url, gain: 0 })), rate);
    } catch (trouble) {
      if (mine === loading) complain(trouble.message);
    }
  }

  /* ---- ABX ---- */

  async function startAbx() {
    const state = await ask("abx_start", { token: clips[chosen.clip].token, first: chosen.first, second: chosen.second, trials: chosen.trials, limited: chosen.limited });
    if (state) await abxTrial(state);
  }

  async function abxTrial(state) {
    const { trial, test } = state;
    memory.write("blind", { test });
    if (!trial) { abxResult(state); return; }
    const controls = transport(["A", "B", "X"], ["1", "2", "3"]);
    const hint = make("p", { class: "hs-quiet" }, "Hear all three, as often as you like; then say what X is.");
    let answered = false;
    const answer = async (choice) => {
      if (answered) return;
      const missing = controls.unheard();
      if (missing.length) { complain(`Not counted: ${listed(missing)} not been played yet. Hear A, B and X first (keys 1, 2 and 3), then answer.`); return; }
      answered = true;
      player.stop(0);
      const next = await ask("abx_answer", { test, choice, number: trial.number });
      if (next) await abxTrial(next); else answered = false;
    };
    const say = (choice) => make("button", { type: "button", class: "hs-button hs-answer", onclick: () => answer(choice) }, `X is ${choice} `, make("kbd", {}, choice.toLowerCase()));
    phase = {
      running: true,
      tick: controls.tick,
      keys: (key) => {
        if (/^[123]$/.test(key)) controls.hear(key - 1);
        else if (key === "a" || key === "b") answer(key.toUpperCase());
        else return false;
        return true;
      },
    };
    show(
      make("p", { class: "hs-trial", role: "status" }, `Trial ${trial.number} of ${state.planned}`),
      make("progress", { class: "hs-progress", max: state.planned, value: state.answered, "aria-label": "Trials answered" }),
      make("div", { class: "hs-versions hs-three", role: "group", "aria-label": "What is heard" }, ...controls.buttons), controls.row,
      hint, make("div", { class: "hs-bench-row hs-keys" }, say("A"), say("B")),
      make("div", { class: "hs-bench-row" }, leave(test)));
    await load([trial.a, trial.b, trial.x]);
  }

  function abxResult(state) {
    phase = { running: false };
    const again = make("button", { type: "button", class: "hs-button hs-main", onclick: fresh }, "Another test");
    const more = state.to_go ? `Until p < 0.05, ${state.to_go} more correct answers without a mistake would be needed; plan them as a new, longer test.` : "";
    show(
      make("p", { class: "hs-result", role: "status" }, state.sentence),
      make("p", { class: "hs-quiet" }, `A was ${state.names[0]}, B was ${state.names[1]}. Exact one-sided binomial test. ${more}`),
      sideways("Answers", make("table", { class: "hs-table" },
        make("thead", {}, make("tr", {}, ...["Trial", "X was", "Your answer", "Correct"].map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...state.rows.map((row) => make("tr", {}, make("th", { scope: "row" }, String(row.trial)), ...[row.X, row.answer, row.correct ? "yes" : "no"].map((text) => make("td", {}, text))))))),
      make("div", { class: "hs-bench-row" }, again, save("abx.csv", "text/csv", state.csv, "Download CSV")));
  }

  /* ---- MUSHRA ---- */

  async function startMushra() {
    const sheet = await ask("mushra_start", { token: clips[chosen.clip].token, versions: [...chosen.versions], listener: chosen.listener, limited: chosen.limited });
    if (sheet) await mushraSheet(sheet);
  }

  /* With what has been rated already, by the number of the sound. */
  async function mushraSheet(sheet, before = {}) {
    const ratings = { ...before };
    const keep = () => memory.write("blind", { test: sheet.test, listener: sheet.listener, ratings });
    keep();
    const names = sheet.stimuli.map((url, index) => `Sound ${index + 1}`);
    const controls = transport(["Reference", ...names], ["0", ...names.map((name, index) => (index < 9 ? String(index + 1) : " "))]);
    const sliders = names.map((name, index) => {
      const output = make("output", { class: "hs-rating" }, String(ratings[index] ?? "–"));
      const slider = make("input", { type: "range", min: 0, max: 100, step: 1, value: ratings[index] ?? 50, "aria-label": `Rating of ${name}` });
      const rated = () => { ratings[index] = Number(slider.value); output.textContent = slider.value; keep(); };
      slider.addEventListener("input", rated);
      slider.addEventListener("change", rated);
      slider.addEventListener("focus", () => player.choose(index + 1));
      return { slider, row: make("div", { class: "hs-rate" }, controls.buttons[index + 1], slider, output) };
    });
    const send = make("button", {
      type: "button", class: "hs-button hs-main", onclick: async () => {
        const unrated = names.filter((name, index) => !(index in ratings));
        if (unrated.length) {
          complain(`Not sent: ${listed(unrated)} not been rated yet. Move each slider, then submit.`);
          sliders[names.indexOf(unrated[0])].slider.focus();
          return;
        }
        const missing = controls.unheard();
        if (missing.length) { complain(`Not sent: ${listed(missing)} not been played yet. Hear each sound and the reference, then submit.`); return; }
        player.stop(0);
        const done = await ask("mushra_rate", { test: sheet.test, listener: sheet.listener, ratings: sliders.map(({ slider }) => Number(slider.value)) });
        if (done) mushraResult(done);
      },
    }, "Submit ratings");
    phase = { running: true, tick: controls.tick, keys: (key) => { if (!/^[0-9]$/.test(key) || Number(key) > names.length) return false; controls.hear(Number(key)); return true; } };
    show(
      make("p", { class: "hs-trial", role: "status" }, `${sheet.listener}: rate each sound against the reference`),
      make("div", { class: "hs-versions hs-three" }, controls.buttons[0]), controls.row,
      make("div", { class: "hs-scale", "aria-hidden": "true" }, ...["bad", "poor", "fair", "good", "excellent"].map((word) => make("span", {}, word))),
      ...sliders.map(({ row }) => row),
      make("div", { class: "hs-bench-row" }, send, leave(sheet.test)));
    await load([sheet.reference, ...sheet.stimuli]);
  }

  function mushraResult(done) {
    phase = { running: false };
    const listener = listenerField();
    const next = make("button", { type: "button", class: "hs-button hs-main", onclick: async () => { const sheet = await ask("mushra_next", { test: done.test, listener: listener.lastChild.value }); if (sheet) await mushraSheet(sheet); else missed(listener.lastChild); } }, "Next listener");
    const webmushra = make("button", {
      type: "button", class: "hs-button", onclick: async () => {
        const made = await ask("mushra_export", { test: done.test });
        if (made) save("webmushra.zip", "application/zip", bytesOf(made.zip), "").click();
      },
    }, "Export for webMUSHRA");
    const interval = (row) => (row.low === null ? "one listener" : `${row.low.toFixed(1)} to ${row.high.toFixed(1)}`);
    const unsure = done.unsure.length ? `Rated the hidden reference below 90: ${done.unsure.join(", ")}. BS.1534 leaves such listeners out.` : "";
    show(
      make("p", { class: "hs-result", role: "status" }, `Mean ratings over ${done.summary[0].listeners} listener${done.summary[0].listeners > 1 ? "s" : ""}`),
      sideways("Ratings", make("table", { class: "hs-table" },
        make("thead", {}, make("tr", {}, ...["Version", "Mean", "95 % interval", ""].map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...done.summary.map((row) => make("tr", {}, make("th", { scope: "row" }, row.condition), make("td", {}, row.mean.toFixed(1)), make("td", {}, interval(row)),
          make("td", { class: "hs-bar-cell", "aria-hidden": "true" }, bar(row))))))),
      make("p", { class: "hs-quiet" }, unsure),
      make("div", { class: "hs-bench-row" }, listener, next),
      make("div", { class: "hs-bench-row" }, save("mushra.csv", "text/csv", done.csv, "Download CSV"), webmushra, make("button", { type: "button", class: "hs-button", onclick: fresh }, "Another test")));
  }

  function bar(row) {
    const place = make("div", { class: "hs-bar" }, make("i", {}));
    place.firstChild.style.width = `${row.mean}%`;
    if (row.low !== null) {
      const reach = make("b", {});
      reach.style.left = `${Math.max(0, row.low)}%`;
      reach.style.width = `${Math.min(100, row.high) - Math.max(0, row.low)}%`;
      place.append(reach);
    }
    return place;
  }

  window.addEventListener("keydown", (event) => {
    if (!phase?.running || !element.offsetParent || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (phase.keys(event.key)) { event.preventDefault(); return; }
    if (event.key === " " && !event.target.closest?.("button, a, summary, [role=tab], label")) { event.preventDefault(); player.toggle(); }
  });

  watch("value", receive);
  receive();
  resume();
};
