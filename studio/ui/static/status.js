/* Where a job stands, in words and as a bar; tells the script rows how far each line is. */
"use strict";

window.HiggsStudio.mountStatus = (element, props, watch) => {
  const { make } = window.HiggsStudio;
  const words = make("p", { class: "hs-status-words" });
  const spoken = make("p", { class: "hs-unseen", role: "status" }); // read aloud at turning points, not every frame
  const bar = make("progress", { max: 1, "aria-label": "Progress" });
  const list = make("ul", { class: "hs-notes" });
  element.querySelector(".hs-status").replaceChildren(words, bar, list, spoken);
  let before = "idle";
  const show = () => {
    const value = props.value ?? {};
    const state = value.state ?? "idle";
    if (state !== before) spoken.textContent = state === "running" ? "Speaking" : value.text ?? "";
    if (state === "done" && before === "running") document.querySelector("#hs-result")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    before = state;
    element.querySelector(".hs-status").dataset.state = state;
    if (words.textContent !== (value.text ?? "")) words.textContent = value.text ?? "";
    bar.hidden = value.state !== "running";
    if (value.share == null) bar.removeAttribute("value"); else bar.value = value.share;
    list.replaceChildren(...(value.notes ?? []).map((note) => make("li", {}, note)));
    if (value.lines) window.dispatchEvent(new CustomEvent("higgs-studio:progress", { detail: value.lines }));
    if (value.remember) window.HiggsStudio.memory.write("readings", value.remember);
  };
  watch("value", show);
  show();
};

/* Ctrl+Enter (or Cmd+Enter) speaks, Escape stops. */
window.addEventListener("keydown", (event) => {
  const press = (id) => {
    const button = document.querySelector(`${id}:not([disabled])`);
    if (button?.offsetParent) button.click();
  };
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    press("#hs-generate");
  } else if (event.key === "Escape") {
    press("#hs-stop");
  }
});
