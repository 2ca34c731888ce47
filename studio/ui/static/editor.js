/* The conversation being edited: scene and cast on one side, the script on the other, one state for both.
      The Gradio component behind the script holds {draft, script, own}: the draft, the plain text while that view is open, and the ids of the visitor's own voices.
   Rows are known by their ids, which takes hold on to. */
"use strict";

window.HiggsStudio.Editor = (() => {
  const { make, speakerColour, memory, fileUrl } = window.HiggsStudio;
  const SAVE_MS = 250;
  const PARSE_MS = 350;
  const MOST_SPEAKERS = 8;
  const MOST_UNDONE = 100;
  const PAUSE = /\[\s*pause\s*:?\s*\d{1,5}(?:[.,]\d{1,3})?\s*(?:ms|s|seconds?)?\s*\]/gi; // as studio/pauses.py has it
  const PAUSES_MS = 400;

  let cast = null; // elements of the cast, once mounted
  let script = null; // elements of the script, once mounted
  let pronounced = null; // where pronunciations are typed, once mounted
  let link = null; // {props, trigger, server} of the Gradio component
  let draft = { scene: "", way: "lines", references: "turns", context: 0, speakers: [], lines: [], pronunciations: "" };
  let voices = [];
  let text = null; // plain script while that view is open, else null
  let past = []; // drafts to go back to
  let future = []; // drafts to come forward to again
  let selected = ""; // id of the row that was chosen or typed into last
  let typingIn = ""; // the field whose typing is one step of undo
  let saving = 0;
  let parsing = 0;
  let progress = {}; // row id -> {state, seconds}, while it is being spoken
  let project = { rows: {} }; // what the server keeps of each row: its takes, and for which words
  let hearing = ""; // id of the row whose take is being heard
  let ready = false; // nothing is remembered before what was remembered has been read
  let coming = 0; // presets that have been chosen and are on their way from the server
  let pressed = null; // what was pressed meanwhile
  let lineWords = 0; // that the checkpoint speaks reliably in one line; 0: unknown
  let ownIds = []; // the visitor's voices, also those whose cards have not come yet

  const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => "0123456789abcdefghijklmnopqrstuv"[byte % 32]).join("");
  /* Every row has an id of its own, also where a file came with the same one twice. */
  function identified(lines) {
    const seen = new Set();
    return lines.map((line) => {
      const id = line.id && !seen.has(line.id) ? line.id : newId();
      seen.add(id);
      return { ...line, id };
    });
  }
  const state = () => ({ draft, script: text, own: ownIds });

  /* Hand the state to Gradio, and to this browser's memory so that a reload keeps it. */
  function publish() {
    link.props.value = state();
    clearTimeout(saving);
    saving = setTimeout(remember, SAVE_MS);
  }
  function remember() {
    if (!ready) return;
    const others = memory.read("own") ?? []; // another tab may have added voices meanwhile
    memory.write("own", [...new Set([...ownIds, ...others])]);
    memory.write("draft", { draft, script: text });
  }
  window.addEventListener("pagehide", () => {
    if (!link) return;
    remember();
    if (ready) memory.write("undo", { past, future });
  });

  /* Keep the state as it is, to be had back by Undo. */
  function mark() {
    const now = JSON.stringify(draft);
    if (past.at(-1) !== now) past = [...past, now].slice(-MOST_UNDONE);
    future = [];
  }

  /* Change the structure: the state before can be had back. */
  function change(next, anew = false) {
    mark();
    typingIn = "";
    draft = next;
    render();
    publish();
    reprint(anew);
  }

  /* Before the first letter typed into a field: all typing there is one step of Undo. */
  function beginTyping(field) {
    if (typingIn === field) return;
    mark();
    typingIn = field;
    showUndo();
  }

  function travel(from, to) {
    if (text !== null && !script.problem.hidden) { // what cannot be read goes back to what could
      typingIn = "";
      return reprint(true);
    }
    const now = JSON.stringify(draft);
    let then = from.pop();
    while (then === now && from.length) then = from.pop();
    if (!then || then === now) return showUndo();
    to.push(now);
    typingIn = "";
    draft = JSON.parse(then);
    render();
    publish();
    reprint(true);
  }
  function showUndo() {
    script.undo.disabled = !past.length;
    script.redo.disabled = !future.length;
  }

  /* Whether a draft is the one on the page. Presets and imports bring no ids: what counts then are the words. */
  function isShown(other) {
    const written = (one, ids) => JSON.stringify({ ...one, lines: one.lines.map(({ id, ...line }) => (ids ? [id, line] : line)) });
    const ids = other.lines.some((line) => line.id);
    return written(other, ids) === written(draft, ids);
  }

  /* What the server sent: a draft (a preset, an import), voices, or both. */
  function receive(value) {
    if (!value) return;
    if (value.first) { // what the page began with, sent once more: this browser may have remembered something newer
      if (ready) publish();
      return;
    }
    if (value.voices) {
      voices = value.voices;
      ownIds = value.own ?? [...new Set([...ownIds, ...voices.map((voice) => voice.id).filter((id) => id.startsWith("own:"))])];
    }
    if (value.draft && !isShown(value.draft)) { // Gradio may send a value twice
      progress = {};
      change({ ...value.draft, lines: identified(value.draft.lines) }, true);
    } else {
      renderCast();
      publish();
    }
  }

  /* From choosing a preset until it is here, what speaks the script waits: it would speak the one before. */
  function presetComes() {
    coming += 1;
  }
  function presetCame() {
    coming = Math.max(0, coming - 1);
    const button = coming ? null : pressed;
    if (!button) return;
    pressed = null;
    requestAnimationFrame(() => requestAnimationFrame(() => button.click())); // Gradio hands a value on with the next frame
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#hs-generate, #hs-speak-changed");
    if (!button || !coming) return;
    event.preventDefault();
    event.stopPropagation();
    pressed = button;
  }, true);

  /* ---- cast ---- */

  function mountCast(element) {
    cast = { cards: element.querySelector(".hs-cards"), scene: element.querySelector(".hs-scene textarea"), add: element.querySelector(".hs-add-speaker") };
    element.append(sample);
    cast.scene.addEventListener("input", () => {
      beginTyping("scene");
      draft.scene = cast.scene.value;
      publish();
    });
    cast.add.addEventListener("click", () => {
      const taken = new Set(draft.speakers.map((speaker) => speaker.reference));
      const free = voices.find((voice) => !taken.has(voice.id));
      const speaker = { name: free ? free.name : `Speaker ${draft.speakers.length + 1}`, kind: free ? "reference" : "smart", description: "", reference: free ? free.id : "" };
      change({ ...draft, speakers: [...draft.speakers, speaker] });
      cast.cards.lastElementChild?.querySelector("input").focus();
    });
    if (link) renderCast();
  }

  function mountPronunciations(element) {
    pronounced = element.querySelector("textarea");
    pronounced.addEventListener("input", () => {
      beginTyping("pronunciations");
      draft.pronunciations = pronounced.value;
      showStates();
      publish();
    });
    if (link) showPronunciations();
  }
  function showPronunciations() {
    if (!pronounced) return;
    if (pronounced !== document.activeElement) pronounced.value = draft.pronunciations;
    if (draft.pronunciations) pronounced.closest("details").open = true;
  }

  function renderCast() {
    showPronunciations();
    if (!cast) return;
    if (cast.scene !== document.activeElement) cast.scene.value = draft.scene;
    cast.add.disabled = draft.speakers.length >= MOST_SPEAKERS;
    cast.add.title = cast.add.disabled ? `At most ${MOST_SPEAKERS} speakers` : "";
    cast.cards.replaceChildren(...draft.speakers.map(card));
  }

  function card(speaker, index) {
    const label = `speaker ${index + 1}`;
    const name = make("input", { type: "text", class: "hs-name", value: speaker.name, maxlength: 40, "aria-label": `Name of ${label}` });
    name.addEventListener("input", () => {
      beginTyping(`name ${index}`);
      speaker.name = name.value;
      renameInRows(index);
      publish();
    });
    name.addEventListener("change", reprint);
    const menu = make("select", { "aria-label": `Voice of ${label}` },
      make("option", { value: "smart" }, "Model’s choice"),
      make("option", { value: "described" }, "Described in words"),
      ...group("Your voices", voices.filter((voice) => voice.id.startsWith("own:"))),
      ...group("On this server", voices.filter((voice) => voice.id.startsWith("shared:"))),
      ...group("Bundled voices", voices.filter((voice) => voice.id.startsWith("bundled:"))));
    menu.value = speaker.kind === "reference" ? speaker.reference : speaker.kind;
    if (speaker.kind === "reference" && menu.selectedIndex < 0) {
      menu.append(make("option", { value: speaker.reference }, speaker.reference ? "No longer here" : "Choose a voice"));
      menu.value = speaker.reference;
    }
    menu.addEventListener("change", () => {
      const kind = ["smart", "described"].includes(menu.value) ? menu.value : "reference";
      const changed = { ...speaker, kind, reference: kind === "reference" ? menu.value : speaker.reference };
      change({ ...draft, speakers: draft.speakers.with(index, changed) });
      cast.cards.children[index]?.querySelector("select").focus();
    });
    const remove = make("button", { type: "button", class: "hs-icon", "aria-label": `Remove ${label}`, title: "Remove", disabled: draft.speakers.length < 2, onclick: () => removeSpeaker(index) }, "✕");
    return make("li", { class: "hs-card", style: `--speaker:${speakerColour(index)}` },
      make("div", { class: "hs-card-head" }, make("span", { class: "hs-dot", "aria-hidden": "true" }), name, remove), menu, voiceDetail(speaker, label, index));
  }

  function group(label, list) {
    return list.length ? [make("optgroup", { label }, ...list.map((voice) => make("option", { value: voice.id }, voice.gender ? `${voice.name} (${voice.gender})` : voice.name)))] : [];
  }

  function voiceDetail(speaker, label, index) {
    if (speaker.kind === "described") {
      const words = make("input", { type: "text", value: speaker.description, placeholder: "for example: feminine, warm, unhurried", "aria-label": `Description of ${label}` });
      words.addEventListener("input", () => {
        beginTyping(`description ${index}`);
        speaker.description = words.value;
        publish();
      });
      return words;
    }
    const voice = speaker.kind === "reference" && voices.find((item) => item.id === speaker.reference);
    if (!voice) return make("p", { class: "hs-quiet" }, speaker.kind === "smart" ? "The model finds a voice that suits the text." : "Add a voice in the tab Voices, then choose it here.");
    const bars = voice.outline.map((height, at) => `M${at} ${20 - 19 * height}V${20 + 19 * height}`).join("");
    const outline = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    outline.setAttribute("viewBox", `0 0 ${voice.outline.length} 40`);
    outline.setAttribute("preserveAspectRatio", "none");
    outline.setAttribute("class", "hs-outline");
    outline.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", bars);
    outline.append(path);
    const hear = make("button", { type: "button", class: "hs-icon hs-hear-voice", "data-voice": voice.id, "aria-label": `Hear the recording of ${label}`, title: "Hear the recording it is cloned from", onclick: () => hearVoice(voice.id) }, sampled === voice.id ? "■" : "▶");
    return make("div", { class: "hs-voice" }, make("div", { class: "hs-voice-heard" }, hear, outline),
      make("p", { class: "hs-quiet" }, `${voice.seconds.toFixed(1)} s · “${voice.transcript}”`),
      ...voice.notes.map((note) => make("p", { class: "hs-note" }, note)));
  }

  /* ---- hearing the recording of a voice ---- */

  const sample = make("audio", { preload: "none" });
  let sampled = ""; // id of the voice that is heard
  function showSampled(id) {
    sampled = id;
    for (const button of cast.cards.querySelectorAll("[data-voice]")) button.textContent = button.dataset.voice === id ? "■" : "▶";
  }
  for (const over of ["pause", "ended", "error"]) sample.addEventListener(over, () => showSampled(""));
  document.addEventListener("play", (event) => event.target !== sample && sample.pause(), true); // one sound at a time

  async function hearVoice(id) {
    if (sampled === id) return sample.pause();
    const answer = await link.server.hear_voice({ id });
    if (answer.problem) return notice(answer.problem);
    for (const other of document.querySelectorAll("audio")) if (other !== sample) other.pause();
    window.HiggsStudio.live?.stop();
    sample.pause();
    sample.src = fileUrl(answer.url);
    await sample.play().catch(() => {}); // paused again before it began
    if (!sample.paused) showSampled(id);
  }

  function removeSpeaker(index) {
    const lines = draft.lines.map((line) => (line.divider ? line : { ...line, speaker: line.speaker > index ? line.speaker - 1 : line.speaker === index ? 0 : line.speaker }));
    const orphans = draft.lines.filter((line) => line.speaker === index && !line.divider).length;
    const [gone, heir] = [nameOf(index), nameOf(index === 0 ? 1 : 0)];
    change({ ...draft, lines, speakers: draft.speakers.toSpliced(index, 1) });
    notice(orphans ? `${gone}’s ${orphans === 1 ? "line is" : `${orphans} lines are`} now spoken by ${heir}. Undo brings ${gone} back.` : "");
    cast.add.focus();
  }

  const nameOf = (index) => draft.speakers[index].name.trim() || `Speaker ${index + 1}`;
  function notice(words) {
    script.notice.textContent = words;
    script.notice.hidden = !words;
  }

  /* ---- script ---- */

  function mountScript(element, props, trigger, watch, server) {
    link = { props, trigger, server };
    script = {
      rows: element.querySelector(".hs-rows"), empty: element.querySelector(".hs-empty"), area: element.querySelector(".hs-plain"),
      problem: element.querySelector(".hs-problem"), addNames: element.querySelector(".hs-add-names"), notice: element.querySelector(".hs-notice"),
      undo: element.querySelector(".hs-undo"), redo: element.querySelector(".hs-redo"), tools: element.querySelector(".hs-tools"),
      splitAll: element.querySelector(".hs-split-all"),
      rowsTab: element.querySelector(".hs-view-rows"), plainTab: element.querySelector(".hs-view-plain"), way: element.querySelector(".hs-way"), context: element.querySelector(".hs-context"), references: element.querySelector(".hs-references"),
    };
    element.querySelector(".hs-add-line").addEventListener("click", () => addLine(draft.lines.length));
    element.querySelector(".hs-add-divider").addEventListener("click", () => change({ ...draft, lines: [...draft.lines, { divider: true, id: newId() }] }));
    script.tools.addEventListener("mousedown", (event) => event.preventDefault()); // the row keeps the cursor, so that nothing moves under the pointer
    element.querySelector(".hs-add-pause").addEventListener("click", addPause);
    script.splitAll.addEventListener("click", () => split());
    script.undo.addEventListener("click", () => travel(past, future));
    script.redo.addEventListener("click", () => travel(future, past));
    script.rowsTab.addEventListener("click", showRows);
    script.plainTab.addEventListener("click", showPlain);
    script.area.addEventListener("input", () => {
      beginTyping("script");
      text = script.area.value;
      publish();
      clearTimeout(parsing);
      parsing = setTimeout(parse, PARSE_MS);
    });
    for (const [menu, key] of [[script.way, "way"], [script.references, "references"]]) {
      menu.addEventListener("change", () => change({ ...draft, [key]: menu.value }));
    }
    script.context.addEventListener("change", () => change({ ...draft, context: Number(script.context.value) }));
    watch("value", () => receive(props.value));
    window.addEventListener("higgs-studio:voices", (event) => receive(event.detail)); // from the tab Voices
    window.addEventListener("higgs-studio:progress", (event) => showProgress(event.detail));
    window.addEventListener("higgs-studio:project", (event) => showProject(event.detail));
    window.addEventListener("higgs-studio:hearing", (event) => showHearing(event.detail));
    document.addEventListener("click", (event) => { // the button comes later than this component
      if (!event.target.closest?.("#hs-generate")) return;
      typingIn = "";
      notice("");
    }, true);
    start(props.value);
  }

  /* Begin with what this browser remembers, else with what the server sent. */
  async function start(value) {
    voices = value.voices;
    lineWords = value.line_words;
    draft = { ...value.draft, lines: identified(value.draft.lines) };
    ownIds = memory.read("own") ?? [];
    const kept = memory.read("draft");
    if (kept?.draft) {
      const sound = await link.server.sound_draft({ draft: kept.draft }); // an older version may have written it
      if (sound) draft = { ...sound, lines: identified(sound.lines) };
      else notice("What this browser remembered could not be read; this is the first preset.");
    }
    ready = true;
    const way = kept?.draft && memory.read("undo");
    if (way) [past, future] = [way.past, way.future];
    render();
    publish();
    if (typeof kept?.script === "string") {
      text = script.area.value = kept.script;
      switchView(true);
      publish();
      parse();
    }
    const asked = ownIds;
    const answer = await link.server.own_voices({ ids: asked });
    const known = new Set([...asked, ...answer.map((voice) => voice.id)]);
    const here = answer.map((voice) => voice.id).filter((id) => id.startsWith("own:")); // the server has said which are gone
    ownIds = [...here, ...ownIds.filter((id) => !known.has(id))]; // one may have been added meanwhile
    memory.write("own", ownIds);
    voices = [...answer, ...voices.filter((voice) => !known.has(voice.id))];
    renderCast();
    publish();
  }

  function render() {
    renderCast();
    if (!script) return;
    showUndo();
    script.way.value = draft.way;
    script.references.value = draft.references;
    script.references.closest("label").hidden = !draft.speakers.some((speaker) => speaker.kind === "reference"); // nobody has one
    script.context.value = draft.context;
    script.context.disabled = draft.way === "breath"; // one breath knows all of it
    const old = new Map([...script.rows.children].map((row) => [row.dataset.id, row]));
    const focused = document.activeElement?.closest?.(".hs-row")?.dataset.id;
    const wanted = draft.lines.map((line) => (line.divider ? divider(line) : row(line, old.get(line.id))));
    const kept = new Set(wanted); // only what moved is moved: laying out 200 rows anew takes a quarter of a second
    for (const element of [...script.rows.children]) if (!kept.has(element)) element.remove();
    wanted.forEach((element, at) => {
      if (script.rows.children[at] !== element) script.rows.insertBefore(element, script.rows.children[at] ?? null);
    });
    if (focused && !script.rows.contains(document.activeElement)) script.rows.querySelector(`[data-id="${focused}"] textarea`)?.focus();
    script.empty.hidden = text !== null || draft.lines.length > 0;
    label();
    showLong();
    showChanged();
  }

  /* Rows keep their elements when others come and go, so that nothing typed or focused is disturbed. */
  function row(line, existing) {
    const element = existing ?? newRow(line.id);
    const [menu, area] = [element.querySelector("select"), element.querySelector("textarea")];
    fillMenu(menu, line.speaker);
    if (area.value !== line.text) area.value = line.text;
    element.style.setProperty("--speaker", speakerColour(line.speaker));
    return element;
  }

  function fillMenu(menu, speaker) {
    const names = draft.speakers.map((item, index) => item.name.trim() || `Speaker ${index + 1}`);
    if (speaker >= names.length) names.push(...Array.from({ length: speaker - names.length + 1 }, (_, at) => `[SPEAKER${names.length + at}]`));
    const written = JSON.stringify(names);
    if (menu.dataset.names !== written) {
      menu.replaceChildren(...names.map((name, index) => make("option", { value: index }, name)));
      menu.dataset.names = written;
    }
    menu.value = speaker;
  }

  function renameInRows(index) {
    for (const menu of script?.rows.querySelectorAll("select") ?? []) {
      delete menu.dataset.names;
      if (menu.options[index]) menu.options[index].textContent = draft.speakers[index].name.trim() || `Speaker ${index + 1}`;
    }
  }

  function newRow(id) {
    const at = () => draft.lines.findIndex((line) => line.id === id);
    const menu = make("select", { class: "hs-who" });
    menu.addEventListener("change", () => {
      draft.lines[at()].speaker = Number(menu.value);
      menu.closest(".hs-row").style.setProperty("--speaker", speakerColour(Number(menu.value)));
      edited(id);
    });
    const area = make("textarea", { rows: 1, spellcheck: "true", placeholder: "What is said" });
    area.addEventListener("input", () => {
      beginTyping(`line ${id}`);
      draft.lines[at()].text = area.value;
      fit(area);
      showLong();
      edited(id);
    });
    area.addEventListener("keydown", (event) => rowKeys(event, at(), area));
    area.addEventListener("focus", () => select(id));
    const tool = (name, sign, act) => make("button", { type: "button", class: "hs-icon", "data-tool": name, title: name, onclick: act }, sign);
    return make("li", { class: "hs-row", "data-id": id },
      make("span", { class: "hs-number", "aria-hidden": "true" }), menu, area, make("button", { type: "button", class: "hs-state", hidden: true, onclick: () => select(id) }),
      make("span", { class: "hs-row-tools" }, tool("Hear", "▶", () => window.dispatchEvent(new CustomEvent("higgs-studio:hear", { detail: id }))), tool("Speak", "↻", () => speak([id])), tool("Move up", "↑", () => move(at(), -1)), tool("Move down", "↓", () => move(at(), 1)), tool("Remove", "✕", () => removeLine(at()))),
      make("p", { class: "hs-long", hidden: true }, make("span", {}), make("button", { type: "button", class: "hs-button", "data-tool": "Split", onclick: () => split(id) }, "Split")));
  }

  /* ---- lines longer than the checkpoint speaks reliably ---- */

  const withoutPauses = (words) => words.replace(PAUSE, " ").trim();
  const wordsOf = (line) => (line.divider ? 0 : withoutPauses(line.text).split(/\s+/).filter(Boolean).length);
  const isParted = (line) => !line.divider && line.text.split(PAUSE).filter((part) => part.trim()).length > 1; // by a pause
  const isLong = (line) => lineWords && draft.way === "lines" && wordsOf(line) > lineWords;
  const splitHint = (line) => (isParted(line) ? "A pause stands between lines, not within one." : `${wordsOf(line)} words; beyond ${lineWords} this checkpoint loses some.`);

  function showLong() {
    const long = new Map(draft.lines.filter((line) => isParted(line) || isLong(line)).map((line) => [line.id, splitHint(line)]));
    script.splitAll.hidden = long.size < (text === null ? 2 : 1); // a row has a button of its own
    script.splitAll.textContent = `Split ${long.size} ${draft.lines.some(isParted) ? "" : "long "}${long.size === 1 ? "line" : "lines"}`;
    for (const hint of script.rows.querySelectorAll(".hs-long")) {
      const words = long.get(hint.closest(".hs-row").dataset.id);
      hint.hidden = !words;
      if (words) hint.firstChild.textContent = words;
    }
    tellPauses();
  }

  /* A pause is no word: nothing is spoken anew, but the mix is another. */
  let pauses = null; // as they were told last
  let telling = 0;
  function tellPauses() {
    const now = JSON.stringify(draft.lines.map((line) => line.divider ? null : line.text.match(PAUSE)));
    if (now === pauses) return;
    const known = pauses !== null;
    pauses = now;
    clearTimeout(telling);
    if (known) telling = setTimeout(() => window.dispatchEvent(new CustomEvent("higgs-studio:pauses")), PAUSES_MS);
  }

  /* A pause at the end of a row, its seconds ready to be typed over. */
  function addPause() {
    const line = lineOf(selected) ?? draft.lines.findLast((one) => !one.divider);
    if (!line || line.divider) return;
    const words = `${line.text.trimEnd()} [pause 1 s]`.trimStart();
    change({ ...draft, lines: draft.lines.map((one) => (one.id === line.id ? { ...one, text: words } : one)) });
    const area = rowOf(line.id).querySelector("textarea");
    area.focus();
    area.setSelectionRange(words.length - "1 s]".length, words.length - " s]".length);
  }

  /* Cut one row, or all that are too long, into rows of the same speaker. */
  async function split(id = "") {
    const sent = JSON.stringify(draft.lines);
    let answer;
    try {
      answer = await link.server.split_lines({ lines: draft.lines, row: id });
    } catch {
      answer = { problem: "The studio did not answer. Try again." };
    }
    if (answer.problem) return notice(answer.problem);
    if (JSON.stringify(draft.lines) !== sent) return; // something was typed meanwhile
    notice("");
    change({ ...draft, lines: identified(answer.lines) }, true);
    if (id) focusRow(draft.lines.findIndex((line) => line.id === id));
  }

  function select(id) {
    selected = id;
    window.dispatchEvent(new CustomEvent("higgs-studio:select", { detail: id }));
  }

  function divider(line) {
    const at = () => draft.lines.findIndex((item) => item.id === line.id);
    return make("li", { class: "hs-row hs-divider", "data-id": line.id }, make("span", {}, "new conversation"),
      make("button", { type: "button", class: "hs-icon", "aria-label": "Remove divider", title: "Remove", onclick: () => removeLine(at()) }, "✕"));
  }

  /* Numbers and the labels made of them, after anything moved. */
  function label() {
    let number = 0;
    for (const element of script.rows.children) {
      if (element.classList.contains("hs-divider")) continue;
      number += 1;
      showState(element);
      fit(element.querySelector("textarea"));
      if (element.dataset.number === String(number)) continue;
      element.dataset.number = number;
      element.querySelector(".hs-number").textContent = number;
      element.querySelector("select").setAttribute("aria-label", `Speaker of line ${number}`);
      element.querySelector("textarea").setAttribute("aria-label", `Text of line ${number}`);
      element.querySelector(".hs-state").setAttribute("aria-label", `Takes of line ${number}`);
      for (const tool of element.querySelectorAll("[data-tool]")) tool.setAttribute("aria-label", tool.dataset.tool.startsWith("Move") ? tool.dataset.tool.replace("Move", `Move line ${number}`) : `${tool.dataset.tool} line ${number}`);
    }
  }

  /* As high as its text, where the browser does not see to it. */
  const FITS_ITSELF = window.CSS?.supports?.("field-sizing", "content");
  function fit(area) {
    if (FITS_ITSELF) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  }

  function edited(id) {
    delete progress[id];
    showState(rowOf(id));
    showChanged();
    publish();
  }
  const rowOf = (id) => script.rows.querySelector(`[data-id="${id}"]`);

  function rowKeys(event, at, area) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (!event.shiftKey) addLine(at + 1);
    } else if (event.key === "Backspace" && area.value === "" && draft.lines.length > 1) {
      event.preventDefault();
      removeLine(at);
      focusRow(Math.max(0, at - 1));
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      move(at, event.key === "ArrowUp" ? -1 : 1);
    }
  }

  /* The next line is spoken by whoever spoke before the last speaker: dialogue goes to and fro. */
  function addLine(at) {
    const before = draft.lines.slice(0, at).filter((line) => !line.divider);
    const last = before.at(-1)?.speaker;
    const other = before.findLast((line) => line.speaker !== last)?.speaker;
    const fallback = last === undefined ? 0 : (last + 1) % Math.max(1, draft.speakers.length);
    change({ ...draft, lines: draft.lines.toSpliced(at, 0, { speaker: other ?? fallback, text: "", id: newId() }) });
    focusRow(at);
  }
  const removeLine = (at) => change({ ...draft, lines: draft.lines.toSpliced(at, 1) });
  function move(at, by) {
    const to = at + by;
    if (to < 0 || to >= draft.lines.length) return;
    change({ ...draft, lines: draft.lines.toSpliced(at, 1).toSpliced(to, 0, draft.lines[at]) });
    focusRow(to);
  }
  const focusRow = (at) => script.rows.children[at]?.querySelector("textarea")?.focus();

  /* ---- plain script ---- */

  const names = () => draft.speakers.map((speaker, index) => nameOf(index));

  async function showPlain() {
    text = "";
    await reprint();
    switchView(true);
    script.area.focus();
  }

  /* Write the script anew after the rows or the names changed under it, while that view is open. */
  async function reprint(anew = false) {
    if (text === null) return;
    if (!anew && !script.problem.hidden) return parse(); // what was typed stays; the cast may fit it now
    const written = await link.server.print_rows({ lines: draft.lines, names: names() });
    if (text === null) return;
    text = script.area.value = written;
    showProblem("");
    publish();
  }

  /* Why the script cannot be read, and, where that is all, a button that adds those it names. */
  function showProblem(words, unknown = []) {
    script.problem.textContent = words;
    script.problem.hidden = !words;
    const room = MOST_SPEAKERS - draft.speakers.length;
    script.addNames.hidden = !unknown.length || unknown.length > room;
    script.addNames.textContent = `Add ${unknown.join(", ")} to the cast`;
    script.addNames.onclick = () => change({ ...draft, speakers: [...draft.speakers, ...unknown.map((name) => ({ name, kind: "smart", description: "", reference: "" }))] });
  }

  async function showRows() {
    if (text !== null && !(await parse())) return; // what was typed stays until it can be read
    text = null;
    switchView(false);
    publish();
  }

  function switchView(asText) {
    script.area.hidden = !asText;
    script.rows.hidden = script.tools.hidden = asText;
    script.empty.hidden = asText || draft.lines.length > 0;
    script.plainTab.setAttribute("aria-pressed", asText);
    script.rowsTab.setAttribute("aria-pressed", !asText);
    if (!asText) showProblem("");
    showLong();
  }

  /* Read the plain script; true when it could be read, and the rows are in step then. */
  async function parse() {
    clearTimeout(parsing);
    const written = text;
    const answer = await link.server.parse_rows({ script: written, names: names(), lines: draft.lines });
    if (text !== written) return false;
    showProblem(answer.problem ?? "", answer.unknown);
    if (answer.problem) return false;
    draft = { ...draft, lines: identified(answer.lines) };
    progress = {};
    render();
    publish();
    return true;
  }

  /* ---- how far each line is ---- */

  function showProgress(list) {
    progress = Object.fromEntries(list.map((item) => [item.row, item]));
    showStates();
  }
  function showProject(value) {
    project = value ?? { rows: {} };
    progress = {};
    showStates();
  }
  function showStates() {
    showChanged();
    for (const element of script.rows.querySelectorAll(".hs-row:not(.hs-divider)")) showState(element);
  }

  /* "Speak what changed" is offered where something has been spoken and something else has not. */
  function showChanged() {
    const button = document.querySelector("#hs-speak-changed");
    const count = changedRows().length;
    const spoken = Object.values(project.rows).some((kept) => kept.chosen);
    button?.toggleAttribute("data-offered", spoken && count > 0);
    button?.setAttribute("data-count", count);
  }

  /* Words as they are spoken, as studio/pronunciations.py has it. */
  let respelling = { of: null }; // {of: the text it was read from, spoken: by word, pattern}
  function respelt(words) {
    if (respelling.of !== draft.pronunciations) {
      const tidy = (part = "") => part.trim().replace(/\s+/g, " ");
      const pairs = draft.pronunciations.split("\n").map((line) => line.split(/=(.*)/s).map(tidy)).filter(([written, said]) => written && said);
      const spoken = new Map(pairs.map(([written, said]) => [written.toLowerCase(), said]));
      const escaped = [...spoken.keys()].sort((one, other) => other.length - one.length).map((word) => word.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&"));
      const pattern = escaped.length ? new RegExp(`(?<![\\p{L}\\p{N}_])(?:${escaped.join("|")})(?![\\p{L}\\p{N}_])`, "giu") : null;
      respelling = { of: draft.pronunciations, spoken, pattern };
    }
    return respelling.pattern ? words.replace(respelling.pattern, (word) => respelling.spoken.get(word.toLowerCase()) ?? word) : words;
  }

  /* What a row asks for, written as the server does, to tell a row that has changed since it was spoken. */
  function asked(line) {
    const speaker = draft.speakers[line.speaker];
    const said = respelt(withoutPauses(line.text));
    if (!speaker) return [said, "", draft.scene];
    const words = { smart: "", described: speaker.description.trim(), reference: speaker.reference }[speaker.kind];
    return [said, words ? `${speaker.kind}: ${words}` : speaker.kind, draft.scene];
  }
  const numberOf = (id) => draft.lines.filter((line) => !line.divider).findIndex((line) => line.id === id) + 1; // 0: gone
  const lineOf = (id) => draft.lines.find((line) => line.id === id);
  const takesOf = (id) => project.rows[id]?.takes ?? [];
  function isChanged(line) {
    const kept = project.rows[line.id];
    return kept?.chosen ? kept.changed || asked(line).some((part, at) => part !== kept.asked[at]) : Boolean(withoutPauses(line.text));
  }

  const changedRows = () => draft.lines.filter((line) => !line.divider && isChanged(line)).map((line) => line.id);

  const STATES = {
    waiting: "Waiting to be spoken", speaking: "Being spoken", done: "Spoken", flagged: "Spoken, with something to look at", changed: "Changed since it was spoken",
  };
  function showState(element) {
    const chip = element?.querySelector(".hs-state");
    const line = element && lineOf(element.dataset.id);
    if (!chip || !line) return;
    const going = progress[line.id];
    const takes = takesOf(line.id);
    const heard = takes.find((take) => take.id === project.rows[line.id].chosen);
    const together = heard?.rows.length > 1; // in one breath with other rows: they share one length
    let [state, words] = ["unspoken", ""];
    if (going && going.state !== "done" && going.state !== "flagged") {
      state = going.state;
      words = state === "waiting" ? "waiting" : going.seconds == null ? "…" : `${going.seconds.toFixed(1)} s`;
    } else if (heard) {
      state = isChanged(line) ? "changed" : heard.passed ? "done" : "flagged";
      words = state === "changed" ? "changed" : together ? `lines ${numberOf(heard.rows[0])}–${numberOf(heard.rows.at(-1))}` : `${heard.seconds.toFixed(1)} s`;
      if (takes.length > 1) words += ` · ${takes.length} takes`;
    } else if (going) {
      [state, words] = [going.state, going.seconds == null ? "…" : `${going.seconds.toFixed(1)} s`];
    }
    element.querySelector("[data-tool=Hear]").disabled = !heard; // also where it looks the same: a take may have come to what was done
    if (element.dataset.state === state && chip.textContent === words) return; // most of a long script stands still while a few lines are spoken
    element.dataset.state = state;
    chip.textContent = words;
    chip.hidden = !words;
    const more = [takes.length > 1 ? `${takes.length} takes` : "", together ? `in one breath with the others, ${heard.seconds.toFixed(1)} s in all` : ""];
    chip.title = words ? [STATES[state], ...more].filter(Boolean).join("; ") : "";
  }

  /* The row that is heard stands out, and comes into sight unless somebody is typing. */
  function showHearing(id) {
    if (id === hearing) return;
    hearing = id;
    for (const element of script.rows.children) element.toggleAttribute("data-heard", element.dataset.id === id);
    const element = id && rowOf(id);
    if (element && !script.rows.contains(document.activeElement)) element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  /* Ask for some rows to be spoken: [] is all of them. */
  function speak(rows, takes = 0) {
    typingIn = "";
    publish();
    link.trigger("submit", { rows, takes });
  }

  return {
    mountCast, mountPronunciations, mountScript, speak, state, lineOf, presetComes, presetCame,
    nameOf: (index) => (draft.speakers[index] ? nameOf(index) : `[SPEAKER${index}]`),
    numberOf,
    speakers: () => draft.speakers.map((speaker, index) => nameOf(index)),
  };
})();
