/* Shared by every part of the page: making elements, time, colour. */
"use strict";

window.HiggsStudio = (() => {
  /* Make an element: make("button", {class: "x", onclick: f}, "text", child, …). Text is always text, never HTML. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  }

  /* One colour a speaker, the same in card, row, lane and plot; told apart by colour-blind readers too (Okabe and Ito). */
  const SPEAKER_COLOURS = ["#3d8bd4", "#d9772b", "#2a9d78", "#b857a0", "#c2a018", "#56b4e9", "#c4483c", "#7a7fd0"];
  const speakerColour = (index) => SPEAKER_COLOURS[index % SPEAKER_COLOURS.length];

  /* 75.3 s is 1:15.3 */
  function clock(seconds) {
    const whole = Math.max(0, seconds);
    const minutes = Math.floor(whole / 60);
    return `${minutes}:${(whole - 60 * minutes).toFixed(1).padStart(4, "0")}`;
  }

  /* Bytes of a base64 string. */
  const bytesOf = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

  /* Perceptually even colour scales, from their published anchor colours: 256 RGB triples. */
  function scale(anchors) {
    const points = anchors.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    return Array.from({ length: 256 }, (_, index) => {
      const place = (index / 255) * (points.length - 1);
      const low = Math.min(Math.floor(place), points.length - 2);
      return points[low].map((from, channel) => Math.round(from + (points[low + 1][channel] - from) * (place - low)));
    });
  }
  const VIRIDIS = scale([
    "#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
  ]);
  const CIVIDIS = scale(["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"]);

  /* Where files of ours are served, also behind a proxy that adds a prefix. */
  function fileUrl(path) {
    const root = (window.gradio_config && window.gradio_config.root) || window.location.origin;
    return `${root.replace(/\/$/, "")}/${path}`;
  }

  /* What this browser keeps; a browser that forbids it keeps nothing, and that is no error. What belongs to one tab (the
     draft, the project, the lab's desk) is kept for that tab first: two tabs do not overwrite each other, and a new one begins with the latest. */
  const OF_A_TAB = new Set(["draft", "project", "lab", "blind", "undo"]);
  const OF_NO_OTHER = new Set(["blind", "undo"]); // of these: what no new tab begins with
  const memory = {
    read(key) {
      const name = `higgs-studio:${key}`;
      try {
        const own = OF_A_TAB.has(key) ? window.sessionStorage.getItem(name) : null;
        const latest = OF_NO_OTHER.has(key) ? null : window.localStorage.getItem(name);
        return JSON.parse(own ?? latest);
      } catch {
        return null;
      }
    },
    write(key, value) {
      const [name, written] = [`higgs-studio:${key}`, JSON.stringify(value)];
      try {
        if (OF_A_TAB.has(key)) window.sessionStorage.setItem(name, written);
        if (!OF_NO_OTHER.has(key)) window.localStorage.setItem(name, written);
      } catch { /* full or forbidden */ }
    },
  };

  const typing = (target) => target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]");

  return { make, speakerColour, clock, bytesOf, scale, VIRIDIS, CIVIDIS, fileUrl, memory, typing };
})();
