/* Where a job stands, in words and as a bar; tells the script rows how far each line is. */
"use strict";

window.HiggsStudio.mountStatus = (element, props, watch) => {
  const { make } = window.HiggsStudio;
  const words = make("p", { class: "hs-status-words", role: "status", "aria-live": "polite" });
  const bar = make("progress", { max: 1, "aria-label": "Progress" });
  const list = make("ul", { class: "hs-notes" });
  element.querySelector(".hs-status").replaceChildren(words, bar, list);
  const show = () => {
    const value = props.value ?? {};
    element.querySelector(".hs-status").dataset.state = value.state ?? "idle";
    words.setAttribute("role", value.state === "failed" ? "alert" : "status");
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
