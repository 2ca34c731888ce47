/* What a button says of itself: its keys, and which codecs it ticks. Set when a button is pointed at or reached, since
   Gradio may have made it anew by then. */
"use strict";

(() => {
  const rungs = (family) => [...document.querySelectorAll(`#hs-lab-${family} label`)].map((label) => label.textContent.trim());
  const sameBitrate = () => {
    const others = rungs("xcodec2").length ? `Higgs at the rung nearest to X-Codec2 (${rungs("xcodec2")[0]})` : "Higgs with 3 codebooks";
    return `${others}; beside it the nearest that Opus has: it starts at ${rungs("opus")[0]}.`;
  };
  const wholeLadder = () => `All ${rungs("higgs").length} rungs of Higgs; of the other codecs what is ticked stays.`;
  const HINTS = {
    "#hs-generate": () => "Ctrl+Enter",
    "#hs-stop": () => "Escape",
    "#hs-lab-compare": () => "Ctrl+Enter",
    "#hs-lab-stop": () => "Escape",
    "#hs-lab-same": sameBitrate,
    "#hs-lab-same + button": wholeLadder,
  };
  const TOLD = ["#hs-lab-same", "#hs-lab-same + button"]; // also in words, for whoever has no pointer that hovers

  const hinted = (target) => Object.keys(HINTS).find((place) => target.closest?.(place));
  const hint = ({ target }) => {
    const place = hinted(target);
    if (place) target.closest(place).title = HINTS[place]();
  };
  for (const event of ["pointerover", "focusin"]) document.addEventListener(event, hint);

  document.addEventListener("click", ({ target }) => {
    const place = hinted(target);
    if (!TOLD.includes(place)) return;
    const row = target.closest(".hs-step");
    let words = row.querySelector(".hs-quiet");
    if (!words) row.append(words = HiggsStudio.make("p", { class: "hs-quiet hs-ticked", role: "status" }));
    words.textContent = HINTS[place]();
  });
})();
