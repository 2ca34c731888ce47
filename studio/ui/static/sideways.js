/* A table that scrolls sideways where it is wider than its place, by arrow keys too. While there is more to the right, its
   edge fades, or a column cut in its middle would be the only sign of it. */
"use strict";

window.HiggsStudio.sideways = (label, table) => {
  const { make } = window.HiggsStudio;
  const scroller = make("div", { class: "hs-scroll", tabindex: 0, role: "region", "aria-label": label }, table);
  const frame = make("div", { class: "hs-sideways" }, scroller);
  const look = () => frame.toggleAttribute("data-more", scroller.scrollWidth - scroller.clientWidth - scroller.scrollLeft > 1);
  const sizes = new ResizeObserver(look);
  for (const one of [scroller, table]) sizes.observe(one);
  scroller.addEventListener("scroll", look, { passive: true });
  return frame;
};
