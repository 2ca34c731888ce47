/* What an upload area lets through: everything. Gradio judges a file by its name and by what the browser takes it for, and
   refuses it in a toast that lists MIME types. Here the server looks into the file and says beside the area what to do; a
   picker is only told what to show first. */
"use strict";

(() => {
  const SOUNDS = "#hs-recording, #hs-statement, #hs-lab-recording";
  const SHOWN_FIRST = { "hs-voice-file": ".zip", "hs-codes-upload": ".npz" };

  /* `gr.Audio` has its list of types built in, so there a file goes by as sound. */
  const asSound = (file) => (file.type.startsWith("audio/") ? file : new File([file], file.name, { type: "audio/wav" }));

  document.addEventListener("change", ({ target }) => {
    if (!target.matches?.("input[type=file]") || !target.closest(SOUNDS)) return;
    const picked = new DataTransfer();
    for (const file of target.files) picked.items.add(asSound(file));
    target.files = picked.files;
  }, true);
  document.addEventListener("drop", (event) => {
    if (!event.target.closest?.(SOUNDS) || !event.dataTransfer) return;
    const files = [...event.dataTransfer.files].map(asSound); // what was dropped cannot be changed, what the event says of it can
    Object.defineProperty(event, "dataTransfer", { value: { files } });
  }, true);
  document.addEventListener("click", ({ target }) => {
    if (!target.matches?.("input[type=file]")) return;
    for (const [id, kinds] of Object.entries(SHOWN_FIRST)) {
      if (target.closest(`#${id}`) || target.nextElementSibling?.id === id) target.accept = kinds;
    }
  }, true);
})();
