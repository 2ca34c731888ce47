/* The conversation being edited: scene and cast on one side, the script on the other, one state for both.
   The Gradio component behind the script holds {draft, script, own}: the draft, the plain text while that view is open, and the ids of the visitor's own voices. */
"use strict";

window.HiggsStudio.Editor = (() => {
  const { make, speakerColour, memory } = window.HiggsStudio;
  const SAVE_MS = 250;
  const PARSE_MS = 350;
  const MOST_SPEAKERS = 8;
  const MOST_UNDONE = 100;

  let cast = null; // elements of the cast, once mounted
  let script = null; // elements of the script, once mounted
  let link = null; // {props, trigger, server} of the Gradio component
  let draft = { scene: "", way: "lines", references: "turns", speakers: [], lines: [] };
  let voices = [];
  let text = null; // plain script while that view is open, else null
  let past = []; // drafts to go back to
  let future = []; // drafts to come forward to again
  let typingIn = ""; // the field whose typing is one step of undo
  let nextKey = 1;
  let saving = 0;
  let parsing = 0;
  let progress = {}; // row key -> {state, seconds}
  let spokenKeys = []; // keys of the lines as they stood when Generate was pressed
  let changed = new Set(); // keys of lines edited since
  let ready = false; // nothing is remembered before what was remembered has been read
  let ownIds = []; // the visitor's voices, also those whose cards have not come yet

  const keyed = (lines) => lines.map((line) => ({ ...line, key: line.key || nextKey++ }));
  const plain = () => ({ ...draft, lines: draft.lines.map(({ key, ...line }) => line) });

  /* Hand the state to Gradio, and to this browser's memory so that a reload keeps it. */
  function publish() {
    link.props.value = { draft: plain(), script: text, own: ownIds };
    clearTimeout(saving);
    saving = setTimeout(remember, SAVE_MS);
  }
  function remember() {
    if (!ready) return;
    const others = memory.read("own") ?? []; // another tab may have added voices meanwhile
    memory.write("own", [...new Set([...ownIds, ...others])]);
    memory.write("draft", { draft: plain(), script: text });
  }
  window.addEventListener("pagehide", () => link && remember());

  /* Keep the state as it is, to be had back by Undo. */
  function mark() {
    const now = JSON.stringify(plain());
    if (past.at(-1) !== now) past = [...past, now].slice(-MOST_UNDONE);
    future = [];
  }

  /* Change the structure: the state before can be had back. */
  function change(next) {
    mark();
    typingIn = "";
    draft = next;
    render();
    publish();
    reprint();
  }

  /* Before the first letter typed into a field: all typing there is one step of Undo. */
  function beginTyping(field) {
    if (typingIn === field) return;
    mark();
    typingIn = field;
    showUndo();
  }

  function travel(from, to) {
    const now = JSON.stringify(plain());
    let then = from.pop();
    while (then === now && from.length) then = from.pop();
    if (!then || then === now) return showUndo();
    to.push(now);
    typingIn = "";
    const kept = new Map(draft.lines.map((line) => [JSON.stringify([line.speaker, line.text, line.divider]), line.key]));
    draft = JSON.parse(then);
    draft.lines = draft.lines.map((line) => ({ ...line, key: take(kept, JSON.stringify([line.speaker, line.text, line.divider])) ?? nextKey++ }));
    render();
    publish();
    reprint();
  }
  function take(map, key) {
    const value = map.get(key);
    map.delete(key);
    return value;
  }
  function showUndo() {
    script.undo.disabled = !past.length;
    script.redo.disabled = !future.length;
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
      ownIds = [...new Set([...ownIds, ...voices.map((voice) => voice.id).filter((id) => id.startsWith("own:"))])];
    }
    if (value.draft && JSON.stringify(value.draft) !== JSON.stringify(plain())) { // Gradio may send a value twice
      progress = {};
      change({ ...value.draft, lines: keyed(value.draft.lines) });
    } else {
      renderCast();
      publish();
    }
  }

  /* ---- cast ---- */

  function mountCast(element) {
    cast = { cards: element.querySelector(".hs-cards"), scene: element.querySelector(".hs-scene textarea"), add: element.querySelector(".hs-add-speaker") };
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

  function renderCast() {
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
    if (!voice) return make("p", { class: "hs-quiet" }, speaker.kind === "smart" ? "The model finds a voice that suits the text." : "Add a voice below, then choose it here.");
    const bars = voice.outline.map((height, at) => `M${at} ${20 - 19 * height}V${20 + 19 * height}`).join("");
    const outline = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    outline.setAttribute("viewBox", `0 0 ${voice.outline.length} 40`);
    outline.setAttribute("preserveAspectRatio", "none");
    outline.setAttribute("class", "hs-outline");
    outline.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", bars);
    outline.append(path);
    return make("div", { class: "hs-voice" }, outline,
      make("p", { class: "hs-quiet" }, `${voice.seconds.toFixed(1)} s · “${voice.transcript}”`),
      ...voice.notes.map((note) => make("p", { class: "hs-note" }, note)));
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
      problem: element.querySelector(".hs-problem"), notice: element.querySelector(".hs-notice"),
      undo: element.querySelector(".hs-undo"), redo: element.querySelector(".hs-redo"), tools: element.querySelector(".hs-tools"),
      rowsTab: element.querySelector(".hs-view-rows"), plainTab: element.querySelector(".hs-view-plain"), way: element.querySelector(".hs-way"), references: element.querySelector(".hs-references"),
    };
    element.querySelector(".hs-add-line").addEventListener("click", () => addLine(draft.lines.length));
    element.querySelector(".hs-add-divider").addEventListener("click", () => change({ ...draft, lines: [...draft.lines, { divider: true, key: nextKey++ }] }));
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
    watch("value", () => receive(props.value));
    window.addEventListener("higgs-studio:progress", (event) => showProgress(event.detail));
    document.addEventListener("click", (event) => { // the button comes later than this component
      if (!event.target.closest?.("#hs-generate")) return;
      spokenKeys = text === null ? draft.lines.filter((line) => !line.divider).map((line) => line.key) : [];
      changed = new Set();
      typingIn = "";
      notice("");
    }, true);
    start(props.value);
  }

  /* Begin with what this browser remembers, else with what the server sent. */
  async function start(value) {
    voices = value.voices;
    draft = { ...value.draft, lines: keyed(value.draft.lines) };
    ownIds = memory.read("own") ?? [];
    const kept = memory.read("draft");
    if (kept?.draft) {
      const sound = await link.server.sound_draft({ draft: kept.draft }); // an older version may have written it
      if (sound) draft = { ...sound, lines: keyed(sound.lines) };
      else notice("What this browser remembered could not be read; this is the first preset.");
    }
    ready = true;
    render();
    publish();
    if (typeof kept?.script === "string") {
      text = script.area.value = kept.script;
      switchView(true);
      publish();
      parse();
    }
    if (!ownIds.length) return;
    const answer = await link.server.own_voices({ ids: ownIds });
    ownIds = answer.map((voice) => voice.id); // the server has said which are gone
    memory.write("own", ownIds);
    voices = [...answer, ...voices.filter((voice) => !voice.id.startsWith("own:"))];
    renderCast();
    publish();
  }

  function render() {
    renderCast();
    if (!script) return;
    showUndo();
    script.way.value = draft.way;
    script.references.value = draft.references;
    const old = new Map([...script.rows.children].map((row) => [Number(row.dataset.key), row]));
    const focused = document.activeElement?.closest?.(".hs-row")?.dataset.key;
    const wanted = draft.lines.map((line) => (line.divider ? divider(line) : row(line, old.get(line.key))));
    script.rows.replaceChildren(...wanted);
    if (focused) script.rows.querySelector(`[data-key="${focused}"] textarea`)?.focus();
    script.empty.hidden = text !== null || draft.lines.length > 0;
    label();
  }

  /* Rows keep their elements when others come and go, so that nothing typed or focused is disturbed. */
  function row(line, existing) {
    const element = existing ?? newRow(line.key);
    const [menu, area] = [element.querySelector("select"), element.querySelector("textarea")];
    fillMenu(menu, line.speaker);
    if (area.value !== line.text) area.value = line.text;
    element.style.setProperty("--speaker", speakerColour(line.speaker));
    return element;
  }

  function fillMenu(menu, speaker) {
    const names = draft.speakers.map((item, index) => item.name.trim() || `Speaker ${index + 1}`);
    if (speaker >= names.length) names.push(...Array.from({ length: speaker - names.length + 1 }, (_, at) => `[SPEAKER${names.length + at}]`));
    menu.replaceChildren(...names.map((name, index) => make("option", { value: index }, name)));
    menu.value = speaker;
  }

  function renameInRows(index) {
    for (const menu of script?.rows.querySelectorAll("select") ?? []) {
      if (menu.options[index]) menu.options[index].textContent = draft.speakers[index].name.trim() || `Speaker ${index + 1}`;
    }
  }

  function newRow(key) {
    const at = () => draft.lines.findIndex((line) => line.key === key);
    const menu = make("select", { class: "hs-who" });
    menu.addEventListener("change", () => {
      draft.lines[at()].speaker = Number(menu.value);
      menu.closest(".hs-row").style.setProperty("--speaker", speakerColour(Number(menu.value)));
      edited(key);
    });
    const area = make("textarea", { rows: 1, spellcheck: "true", placeholder: "What is said" });
    area.addEventListener("input", () => {
      beginTyping(`line ${key}`);
      draft.lines[at()].text = area.value;
      fit(area);
      edited(key);
    });
    area.addEventListener("keydown", (event) => rowKeys(event, at(), area));
    const tool = (name, sign, act) => make("button", { type: "button", class: "hs-icon", "data-tool": name, title: name, onclick: act }, sign);
    return make("li", { class: "hs-row", "data-key": key },
      make("span", { class: "hs-number", "aria-hidden": "true" }), menu, area, make("span", { class: "hs-state" }),
      make("span", { class: "hs-row-tools" }, tool("Move up", "↑", () => move(at(), -1)), tool("Move down", "↓", () => move(at(), 1)), tool("Remove", "✕", () => removeLine(at()))));
  }

  function divider(line) {
    const at = () => draft.lines.findIndex((item) => item.key === line.key);
    return make("li", { class: "hs-row hs-divider", "data-key": line.key }, make("span", {}, "new conversation"),
      make("button", { type: "button", class: "hs-icon", "aria-label": "Remove divider", title: "Remove", onclick: () => removeLine(at()) }, "✕"));
  }

  /* Numbers and the labels made of them, after anything moved. */
  function label() {
    let number = 0;
    for (const element of script.rows.children) {
      if (element.classList.contains("hs-divider")) continue;
      number += 1;
      element.querySelector(".hs-number").textContent = number;
      element.querySelector("select").setAttribute("aria-label", `Speaker of line ${number}`);
      element.querySelector("textarea").setAttribute("aria-label", `Text of line ${number}`);
      for (const tool of element.querySelectorAll("[data-tool]")) tool.setAttribute("aria-label", tool.dataset.tool === "Remove" ? `Remove line ${number}` : `${tool.dataset.tool.replace("Move", `Move line ${number}`)}`);
      showState(element, progress[element.dataset.key]);
      fit(element.querySelector("textarea"));
    }
  }

  /* As high as its text, where the browser does not see to it. */
  const FITS_ITSELF = window.CSS?.supports?.("field-sizing", "content");
  function fit(area) {
    if (FITS_ITSELF) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  }

  /* A line whose text changed is no longer the one that was spoken. */
  function edited(key) {
    delete progress[key];
    changed.add(key);
    showState(script.rows.querySelector(`[data-key="${key}"]`), undefined);
    publish();
  }

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
    change({ ...draft, lines: draft.lines.toSpliced(at, 0, { speaker: other ?? fallback, text: "", key: nextKey++ }) });
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
  async function reprint() {
    if (text === null) return;
    const written = await link.server.print_rows({ lines: plain().lines, names: names() });
    if (text === null) return;
    text = script.area.value = written;
    script.problem.hidden = true;
    publish();
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
    if (!asText) script.problem.hidden = true;
  }

  /* Read the plain script; true when it could be read, and the rows are in step then. */
  async function parse() {
    clearTimeout(parsing);
    const asked = text;
    const answer = await link.server.parse_rows({ script: asked, names: names() });
    if (text !== asked) return false;
    script.problem.textContent = answer.problem ?? "";
    script.problem.hidden = !answer.problem;
    if (answer.problem) return false;
    draft = { ...draft, lines: keyed(answer.lines) };
    progress = {};
    render();
    publish();
    return true;
  }

  /* ---- how far each line is ---- */

  function showProgress(list) {
    progress = {};
    for (const item of list) {
      const key = spokenKeys[item.row - 1];
      if (key && !changed.has(key)) progress[key] = item;
    }
    for (const element of script.rows.querySelectorAll(".hs-row:not(.hs-divider)")) showState(element, progress[element.dataset.key]);
  }

  const STATES = { waiting: "waiting", speaking: "speaking", done: "spoken", flagged: "cut" };
  function showState(element, item) {
    const chip = element?.querySelector(".hs-state");
    if (!chip) return;
    const words = !item ? "" : item.state === "waiting" ? "waiting" : `${item.seconds.toFixed(1)} s`;
    const state = item?.state ?? "unspoken";
    if (element.dataset.state !== state) element.dataset.state = state;
    if (chip.textContent === words) return; // most of a long script stands still while a few lines are spoken
    chip.textContent = words;
    chip.title = item ? STATES[item.state] : "";
  }

  return { mountCast, mountScript };
})();
