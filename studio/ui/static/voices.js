/* The tab Voices: the shelf (all voices, filtered) and the sheet (one voice in full), one state for both.
   The shelf's component holds {open: id}; the server answers with {opened: id, time} when a voice has come. */
"use strict";

window.HiggsStudio.Voices = (() => {
  const { make, memory, fileUrl } = window.HiggsStudio;
  const HEALTH = { good: "Good", fair: "Usable", poor: "Needs care" };
  const GROUPS = [["own:", "Yours"], ["shared:", "On this server"], ["bundled:", "Bundled"]];

  let shelf = null; // elements of the shelf, once mounted, with {props, server}
  let sheet = null; // elements of the sheet, once mounted, with {props, server}
  let voices = [];
  let open = ""; // id of the voice on the sheet
  let filter = { text: "", tag: "" };
  let latest = 0; // the latest question about the whole shelf
  let busy = 0; // questions to the server under way

  const ownIds = () => [...new Set([...(memory.read("voices") ?? []), ...(memory.read("own") ?? [])])];
  const rememberIds = (ids) => memory.write("voices", ids);

  /* Open this tab from elsewhere on the page. */
  function openTab() {
    [...document.querySelectorAll("[role=tab]")].find((tab) => tab.textContent.trim() === "Voices")?.click();
  }

  /* Ask the server; a problem is said where it belongs and undefined comes back. */
  async function ask(server, what, asked, problem) {
    busy += 1;
    sheet?.root.toggleAttribute("aria-busy", true);
    try {
      const answer = await server[what](asked);
      if (problem) {
        problem.textContent = answer.problem ?? "";
        problem.hidden = !answer.problem;
      }
      return answer.problem ? undefined : answer;
    } catch {
      if (problem) [problem.textContent, problem.hidden] = ["The studio did not answer. Try again.", false];
      return undefined;
    } finally {
      busy -= 1;
      sheet?.root.toggleAttribute("aria-busy", busy > 0);
    }
  }

  /* ---- the shelf ---- */

  function mountShelf(element, props, watch, server) {
    const root = element.querySelector(".hs-shelf");
    const search = make("input", { type: "search", class: "hs-text", placeholder: "Name, words, tag …", "aria-label": "Find a voice" });
    search.addEventListener("input", () => { filter.text = search.value; list(); });
    const tags = make("div", { class: "hs-tags", role: "group", "aria-label": "Filter by tag" });
    const groups = make("div", { class: "hs-voice-groups" });
    const problem = make("p", { class: "hs-problem", role: "alert", hidden: true });
    root.replaceChildren(make("div", { class: "hs-head" }, make("h2", {}, "Voices"), search), tags, problem, groups);
    shelf = { props, server, tags, groups, problem };
    watch("value", () => {
      const { opened, time } = props.value ?? {};
      if (!opened || time === shelf.time) return; // Gradio may send a value twice
      shelf.time = time;
      if (opened.startsWith("own:")) rememberIds([...new Set([...ownIds(), opened])]);
      refresh().then(() => show(opened, true));
      props.value = { open: opened };
    });
    refresh().then(() => { if (!open && voices.length) show(voices[0].id, false); });
  }

  /* Fetch the shelf anew, and tell the cast what it may choose from. */
  async function refresh() {
    const mine = (latest += 1);
    const answer = await ask(shelf.server, "voice_shelf", { ids: ownIds() }, shelf.problem);
    if (!answer || mine !== latest) return; // asked again meanwhile: that answer knows more
    voices = answer.voices;
    rememberIds(answer.own);
    const bundled = voices.filter((voice) => voice.id.startsWith("bundled:"));
    window.dispatchEvent(new CustomEvent("higgs-studio:voices", { detail: { voices: [...answer.cast, ...bundled], own: answer.cast.map((voice) => voice.id).filter((id) => id.startsWith("own:")) } }));
    list();
  }

  function list() {
    const wanted = filter.text.trim().toLowerCase();
    const found = voices.filter((voice) => (!filter.tag || tagsOf(voice).includes(filter.tag))
      && [voice.name, voice.description, voice.transcript, ...tagsOf(voice)].join(" ").toLowerCase().includes(wanted));
    const every = [...new Set(voices.flatMap(tagsOf))].sort();
    shelf.tags.replaceChildren(...every.map((tag) => make("button", { type: "button", class: "hs-tag", "aria-pressed": String(tag === filter.tag), onclick: () => { filter.tag = tag === filter.tag ? "" : tag; list(); } }, tag)));
    shelf.groups.replaceChildren(...GROUPS.flatMap(([prefix, title]) => {
      const part = found.filter((voice) => voice.id.startsWith(prefix));
      return part.length ? [make("h3", {}, title), make("ul", { class: "hs-voice-list" }, ...part.map(card))] : [];
    }), ...(found.length ? [] : [make("p", { class: "hs-quiet" }, "No voice matches. Clear the filter, or add one above.")]));
  }
  const tagsOf = (voice) => [...(voice.tags ?? []), ...(voice.gender ? [voice.gender] : [])];

  function card(voice) {
    const badge = make("span", { class: "hs-badge", "data-severity": voice.missing.length ? "poor" : voice.health }, voice.missing.length ? "Not ready" : HEALTH[voice.health]);
    badge.title = voice.missing.length ? voice.missing.join(" ") : voice.amiss.length ? `Worth a look: ${voice.amiss.join(", ")}` : "Nothing to complain about";
    return make("li", {}, make("button", { type: "button", class: "hs-voice-card", "data-voice": voice.id, "aria-pressed": String(voice.id === open), onclick: () => show(voice.id, true) },
      make("span", { class: "hs-voice-head" }, make("b", {}, voice.name), badge), outline(voice),
      make("span", { class: "hs-quiet" }, [`${voice.seconds.toFixed(1)} s`, voice.description || tagsOf(voice).join(", ")].filter(Boolean).join(" · "))));
  }

  function outline(voice) {
    const svg = (name, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    };
    const picture = svg("svg", { viewBox: `0 0 ${voice.outline.length} 40`, preserveAspectRatio: "none", class: "hs-outline", "aria-hidden": "true" });
    picture.append(svg("path", { d: voice.outline.map((height, at) => `M${at} ${20 - 19 * height}V${20 + 19 * height}`).join("") }));
    return picture;
  }

  /* ---- the sheet ---- */

  function mountSheet(element, props, watch, server) {
    const root = element.querySelector(".hs-sheet");
    const head = make("header", { class: "hs-sheet-head" });
    const needs = make("ul", { class: "hs-notice hs-needs", hidden: true });
    const problem = make("p", { class: "hs-problem", role: "alert", hidden: true });
    const [trimHost, doctorHost, form] = ["hs-trim", "hs-panel hs-doctor", "hs-panel hs-label"].map((name) => make("section", { class: name }));
    const benchHost = make("div", { class: "hs-voice-bench", hidden: true }, make("section", { class: "hs-sound hs-bench", "aria-label": "Before, after, and what the model hears" }));
    const hear = make("button", { type: "button", class: "hs-button hs-hear", onclick: () => listen() }, "Hear it as the model does");
    const listening = make("section", { class: "hs-panel hs-listen" }, make("div", { class: "hs-head" }, make("h3", {}, "What the model hears"), hear),
      make("p", { class: "hs-quiet" }, "The recording through the codec and back: what is lost here is lost in every line."), benchHost);
    root.replaceChildren(make("p", { class: "hs-sound-empty" }, "Choose a voice, or add one."));
    sheet = { root, props, server, head, needs, problem, form, benchHost, hear, listening };
    sheet.body = [head, needs, problem, make("div", { class: "hs-sheet-grid" }, make("div", {}, make("section", { class: "hs-panel" }, make("h3", {}, "Recording"), trimHost), doctorHost, listening), make("div", {}, form))];
    sheet.trim = window.HiggsStudio.mountTrim(trimHost, (start, stop) => act("trim_voice", { start, stop }));
    sheet.doctor = window.HiggsStudio.mountDoctor(doctorHost, act);
    if (open) show(open, false);
  }

  /* The bench of the codec lab, fed from here. */
  function bench() {
    if (sheet.bench) return sheet.bench;
    const listeners = [];
    const fed = { value: { clips: [], empty: "" } };
    window.HiggsStudio.mountBench(sheet.benchHost, fed, (name, heard) => listeners.push(heard), { bench_pictures: sheet.server.voice_pictures });
    sheet.bench = (clips) => { fed.value = { clips, empty: "" }; listeners.forEach((heard) => heard()); };
    return sheet.bench;
  }

  /* Put a voice on the sheet; what was typed and not kept is asked for once more by the form itself. */
  async function show(id, byHand) {
    open = id;
    if (shelf) {
      shelf.props.value = { open: id };
      list();
    }
    if (!sheet) return;
    const answer = await ask(sheet.server, "voice_sheet", { id }, sheet.problem);
    if (!answer || open !== id) return;
    if (!sheet.root.contains(sheet.head)) sheet.root.replaceChildren(...sheet.body);
    hush();
    sheet.voice = answer;
    sheet.trim.show(answer.recording, answer.kept, answer.editable);
    fillForm(answer);
    const spoken = document.querySelector("#hs-spoken-consent");
    if (spoken) spoken.hidden = !answer.editable;
    receive(answer);
    if (byHand && window.matchMedia("(max-width: 760px)").matches) sheet.root.scrollIntoView({ behavior: "smooth" });
  }

  function hush() {
    sheet.trim.stop();
    sheet.benchHost.hidden = true;
    if (sheet.bench) sheet.bench([]);
  }

  /* What every change answers with: the card and the doctor's findings. */
  function receive(answer) {
    sheet.voice = { ...sheet.voice, ...answer };
    const { voice } = sheet;
    sheet.trim.show(null, voice.kept, voice.editable);
    sheet.doctor.show(voice);
    sheet.needs.hidden = !voice.missing.length;
    sheet.needs.replaceChildren(make("li", {}, make("b", {}, "Before it can speak:")), ...voice.missing.map((words) => make("li", {}, words)));
    fillHead(voice);
  }

  /* Change something; true when it was done. What hinders it is said in `problem`, beside what caused it. */
  async function act(what, asked, problem = sheet.problem) {
    const id = open;
    const answer = await ask(sheet.server, what, { id, ...asked }, problem);
    if (!answer || open !== id) return false;
    receive(answer);
    await refresh();
    if (!sheet.benchHost.hidden && what !== "save_voice" && what !== "save_consent") await listen();
    return true;
  }

  function fillHead(voice) {
    const remove = make("button", { type: "button", class: "hs-button", hidden: !voice.editable, onclick: () => { sure.hidden = false; remove.hidden = true; sure.querySelector("button").focus(); } }, "Delete");
    const sure = make("span", { class: "hs-sure", hidden: true }, "Its recording and all that was made of it go for good.",
      make("button", { type: "button", class: "hs-button hs-danger", onclick: drop }, "Delete for good"),
      make("button", { type: "button", class: "hs-button", onclick: () => { sure.hidden = true; remove.hidden = false; remove.focus(); } }, "Keep it"));
    const rights = voice.editable ? "" : [voice.origin, voice.licence].filter(Boolean).join(" · ");
    sheet.head.replaceChildren(
      make("div", {}, make("h2", {}, voice.name), make("p", { class: "hs-quiet" }, [`${voice.seconds.toFixed(1)} s`, rights, ...voice.notes].filter(Boolean).join(" · "))),
      make("div", { class: "hs-sheet-tools" }, make("button", { type: "button", class: "hs-button", onclick: save }, "Export"), remove, sure));
  }

  async function save() {
    const answer = await ask(sheet.server, "export_voice", { id: open }, sheet.problem);
    if (!answer) return;
    const link = make("a", { href: fileUrl(answer.url), download: answer.file_name, hidden: true });
    document.body.append(link);
    link.click();
    link.remove();
  }

  async function drop() {
    const id = open;
    if (!(await ask(sheet.server, "delete_voice", { id }, sheet.problem))) return;
    for (const key of ["voices", "own"]) memory.write(key, (memory.read(key) ?? []).filter((one) => one !== id));
    await refresh();
    if (voices.length) show(voices[0].id, false);
  }

  async function listen() {
    const id = open;
    sheet.hear.disabled = true;
    sheet.hear.textContent = "Encoding and decoding …";
    const answer = await ask(sheet.server, "hear_voice", { id }, sheet.problem);
    sheet.hear.disabled = false;
    sheet.hear.textContent = "Hear it as the model does";
    if (!answer || open !== id) return;
    sheet.benchHost.hidden = false;
    bench()([answer.clip]);
  }

  /* ---- label and consent ---- */

  const field = (label, input, help) => make("label", { class: "hs-field" }, make("span", { class: input.required ? "hs-required" : null }, label), input, help ? make("small", { class: "hs-quiet" }, help) : null);

  /* What is needed and still empty, as the form is filled in now. */
  const gaps = (inputs) => inputs.filter((one) => one.required && !one.value.trim());
  const labelOf = (input) => input.closest(".hs-field").firstChild.textContent;

  function fillForm(voice) {
    if (!voice.editable) {
      sheet.form.replaceChildren(make("h3", {}, "Words"), make("blockquote", {}, voice.transcript), voice.description ? make("p", {}, voice.description) : "",
        make("h3", { class: "hs-consent" }, "Consent"), voice.consent ? record(voice.consent) : "");
      return;
    }
    const input = (name, value, more = {}) => make("input", { type: "text", class: "hs-text", name, value, ...more });
    const [name, tags] = [input("name", voice.name, { maxlength: 40, required: true }), input("tags", voice.tags.join(", "), { placeholder: "warm, narrator" })];
    const description = make("textarea", { class: "hs-text", rows: 2, maxlength: 400, name: "description" });
    description.value = voice.description;
    const words = make("textarea", { class: "hs-text", rows: 4, maxlength: 1000, name: "transcript", required: true });
    words.value = voice.transcript;
    const said = make("p", { class: "hs-note", role: "status", hidden: true });
    const say = (text) => { said.textContent = text; said.hidden = !text; };
    const fill = make("button", { type: "button", class: "hs-button", onclick: async () => {
      [fill.disabled, fill.textContent] = [true, "Listening …"];
      const answer = await ask(sheet.server, "transcribe_voice", { id: voice.id }, said);
      [fill.disabled, fill.textContent] = [false, "Fill in by Whisper"];
      if (!answer) return;
      words.value = answer.transcript;
      touched();
      say(`Filled in by ${answer.by}. Read it against the recording, then save.`);
    } }, "Fill in by Whisper");
    const recogniser = sheet.props.value?.recogniser || "none on this machine: press to see how to get one";
    const consent = consentForm(voice);
    const wrong = make("p", { class: "hs-problem", role: "alert", hidden: true });
    const needed = make("p", { class: "hs-quiet hs-gaps" });
    const inputs = [name, words, description, tags, ...consent.inputs];
    /* What there is is kept, so that consent may come another day; then the first gap is where one goes on. */
    const keep = make("button", { type: "button", class: "hs-button hs-main", onclick: async () => {
      const empty = gaps(inputs);
      for (const one of empty) one.setAttribute("aria-invalid", "true");
      empty[0]?.focus();
      if (empty.includes(name)) return;
      const kept = await act("save_voice", { name: name.value, description: description.value, tags: tags.value, transcript: words.value }, wrong);
      if (!kept || (!gaps(consent.inputs).length && !(await act("save_consent", consent.value(), wrong)))) return;
      say(empty.length ? "Saved so far." : "Saved.");
    } }, "Save");
    const tell = () => {
      const empty = gaps(inputs);
      needed.textContent = empty.length ? `Still needed: ${empty.map(labelOf).join("; ")}.` : "";
    };
    const touched = () => { say(""); tell(); };
    for (const one of inputs) one.addEventListener("input", () => { one.removeAttribute("aria-invalid"); touched(); });
    sheet.form.replaceChildren(make("h3", {}, "Label and words"),
      field("Name", name), field("What is said in it", words, "Word for word, as it is spoken."),
      make("div", { class: "hs-head" }, fill, make("small", { class: "hs-quiet" }, recogniser)),
      field("Description", description), field("Tags", tags, "Separated by commas."),
      consent.element, said, wrong, make("div", { class: "hs-form-end" }, needed, keep));
    tell();
  }

  function consentForm(voice) {
    const given = voice.consent;
    const input = (value, more = {}) => make("input", { type: "text", class: "hs-text", value, maxlength: 120, required: true, ...more });
    const [whose, by, date] = [input(given?.whose ?? ""), input(given?.said_by ?? ""), input(given?.date ?? voice.today, { type: "date", max: voice.today, class: "hs-text hs-date" })];
    const statement = make("textarea", { class: "hs-text", rows: 3, maxlength: 1000, required: true, placeholder: "I agree that my voice is cloned for this audiobook, and for nothing else." });
    statement.value = given?.statement ?? "";
    const element = make("fieldset", { class: "hs-consent" }, make("legend", {}, "Consent"),
      make("p", { class: "hs-quiet" }, "A voice belongs to its person. Without this statement nothing is spoken with it; it goes along into project and export."),
      field("Whose voice it is", whose), field("Who says so", by, "That person, or somebody who may speak for them."),
      field("That it may be used, and for what", statement), field("Said on", date),
      given?.recording ? make("p", { class: "hs-quiet" }, "A spoken statement is attached.") : "");
    const value = () => ({ whose: whose.value, said_by: by.value, statement: statement.value, date: date.value });
    return { element, inputs: [whose, by, date, statement], value };
  }

  function record(consent) {
    const rows = [["Whose voice", consent.whose], ["Said by", consent.said_by], ["Statement", consent.statement], ["On", consent.date]];
    return make("dl", { class: "hs-facts" }, ...rows.map(([name, text]) => make("div", { class: "hs-fact" }, make("dt", {}, name), make("dd", {}, text))));
  }

  return { mountShelf, mountSheet, open: openTab };
})();
