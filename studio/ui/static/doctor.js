/* What the reference doctor found: a row a finding, its value before and after, what it does, and the click that mends it. */
"use strict";

window.HiggsStudio.mountDoctor = (host, act) => {
  const { make } = window.HiggsStudio;
  const WORDS = { good: "good", fair: "worth a look", poor: "will be heard" };
  const rows = make("ul", { class: "hs-findings" });
  const all = make("button", { type: "button", class: "hs-button hs-mend-all", onclick: () => act("mend_voice", { finding: "all" }) }, "Mend all");
  const undo = make("button", { type: "button", class: "hs-button", onclick: () => act("undo_mend", {}) }, "Undo the last mend");
  const done = make("ol", { class: "hs-mends" });
  const count = make("p", { class: "hs-quiet", role: "status" });
  const fine = make("ul", { class: "hs-findings" });
  const fold = make("details", { class: "hs-fine" }, make("summary", {}), fine);
  host.replaceChildren(make("div", { class: "hs-head" }, make("h3", {}, "Reference doctor"), undo, all), count, done, rows, fold);

  function row(finding, editable) {
    const changed = finding.before !== finding.value;
    const value = changed
      ? make("span", { class: "hs-finding-value" }, make("s", {}, finding.before), " → ", make("b", {}, finding.value))
      : make("span", { class: "hs-finding-value" }, finding.value);
    const mend = editable && finding.mend
      ? make("button", { type: "button", class: "hs-button", "aria-label": `${finding.mend}: ${finding.title}`, onclick: () => act("mend_voice", { finding: finding.key }) }, finding.mend)
      : null;
    return make("li", { class: "hs-finding", "data-key": finding.key, "data-severity": finding.severity },
      make("span", { class: "hs-severity", role: "img", "aria-label": WORDS[finding.severity], title: WORDS[finding.severity] }),
      make("span", { class: "hs-finding-title" }, finding.title), value,
      make("span", { class: "hs-finding-effect" }, finding.effect), mend);
  }

  return {
    show({ findings, mends, editable }) {
      const amiss = findings.filter((one) => one.severity !== "good");
      count.textContent = !amiss.length ? "Nothing to complain about." : `${amiss.length} of ${findings.length} deserve a look.`;
      const changed = findings.filter((one) => one.severity === "good" && one.before !== one.value);
      const rest = findings.filter((one) => one.severity === "good" && one.before === one.value);
      rows.replaceChildren(...[...amiss, ...changed].map((one) => row(one, editable)));
      fine.replaceChildren(...rest.map((one) => row(one, editable)));
      fold.hidden = !rest.length;
      fold.firstChild.textContent = `${rest.map((one) => one.title).join(", ")}: good`;
      all.hidden = !editable || !findings.some((one) => one.mend && one.severity !== "good");
      undo.hidden = !editable || !mends.length;
      done.hidden = !mends.length;
      done.replaceChildren(...mends.map((words) => make("li", {}, words)));
    },
  };
};
