/* What was measured: a chart of quality over bitrate with each codec's ladder, and a table to sort and to take away.
   Value: {columns: [{name, group, better, first, judged, digits, about}], rows: [{series, pending, cells, reasons}],
   originals: [{cells, reasons}], notes, csv, empty}. A pending row has its bits and times and waits for its measures. */
"use strict";

window.HiggsStudio.mountMeasures = (element, props, watch) => {
  const { make, sideways } = window.HiggsStudio;
  const SVG = "http://www.w3.org/2000/svg";
  const WIDEST = 640, NARROWEST = 280, HEIGHT = 300, LEFT = 52, RIGHT = 14, TOP = 12, BOTTOM = 40;
  const BITRATE = "Bitrate (kbit/s)";
  const GROUP_WORDS = { Time: "Time on this machine", "Limited to 16 kHz": "Limited to 16 kHz, the original too" };
  // Okabe and Ito: told apart by colour-blind readers; each ladder has a mark of its own as well.
  const LOOKS = [["#0072b2", "circle"], ["#d55e00", "square"], ["#009e73", "triangle"], ["#cc79a7", "diamond"], ["#8a6d00", "cross"], ["#56b4e9", "circle"]];

  const root = element.querySelector(".hs-measures");
  let sorted = { column: -1, down: false };
  let metric = "";

  const id = (column) => `${column.group}|${column.name}`;
  const number = (cell) => (typeof cell === "string" ? Number(cell.replace("inf", "Infinity")) : cell);
  const words = (cell, digits) => (cell === null ? "n/a" : Number.isFinite(number(cell)) ? number(cell).toFixed(digits).replace("-", "−") : String(cell).replace("inf", "∞").replace("-", "−"));

  const empty = make("div", { class: "hs-sound-empty" });
  const choice = make("select", { class: "hs-select", "aria-label": "Quality measure", onchange: () => { metric = choice.value; drawChart(); } });
  const about = make("p", { class: "hs-quiet" });
  const chart = make("figure", { class: "hs-chart" });
  const legend = make("ul", { class: "hs-legend" });
  const table = make("table", { class: "hs-table" });
  const save = make("a", { class: "hs-button hs-csv", download: "codecs.csv" }, "Download CSV");
  const notes = make("ul", { class: "hs-notes" });
  const body = make("div", { hidden: true },
    make("label", { class: "hs-inline" }, "Quality over bitrate ", choice), about, chart, legend,
    sideways("Table of measurements", table),
    make("div", { class: "hs-bench-row" }, save), notes);
  root.replaceChildren(empty, body);
  watch("value", receive);
  new ResizeObserver(() => { if (value().rows.length) { drawChart(); stick(); } }).observe(body);
  receive();

  function value() { return props.value ?? { rows: [] }; }

  function receive() {
    const { rows, columns, csv } = value();
    empty.textContent = value().empty ?? "";
    empty.hidden = rows.length > 0;
    body.hidden = !rows.length;
    if (!rows.length) return;
    const measures = columns.filter((column) => column.better);
    if (!measures.some((column) => id(column) === metric)) metric = id(measures.find((column) => column.first) ?? measures[0]);
    choice.replaceChildren(...measures.map((column) => make("option", { value: id(column), selected: id(column) === metric }, column.group === "Other" ? column.name : `${column.name} · ${column.group[0].toLowerCase()}${column.group.slice(1)}`)));
    if (save.href.startsWith("blob:")) URL.revokeObjectURL(save.href);
    save.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    drawChart();
    drawTable();
    const reasons = new Map();
    for (const row of rows) row.reasons.forEach((reason, index) => { if (reason) reasons.set(`${columns[index].name}: ${reason}.`, true); });
    notes.replaceChildren(...(value().notes ?? []).map((note) => make("li", {}, note)), ...[...reasons.keys()].map((reason) => make("li", {}, `n/a in ${reason}`)));
  }

  /* ---- table ---- */

  function drawTable() {
    const { rows, columns } = value();
    const groups = [];
    for (const column of columns) {
      const last = groups.at(-1);
      if (last && last.name === column.group) last.span += 1; else groups.push({ name: column.group, span: 1 });
    }
    const order = rows.map((row, index) => index);
    if (sorted.column >= 0) {
      const text = !columns[sorted.column].group;
      order.sort((a, b) => {
        const [one, two] = [rows[a].cells[sorted.column], rows[b].cells[sorted.column]];
        if (one === null || two === null) return (one === null) - (two === null); // what was not measured comes last
        const by = text ? String(one).localeCompare(two, undefined, { numeric: true }) : number(one) - number(two);
        return sorted.down ? -by : by;
      });
    }
    const sort = (index) => {
      sorted = { column: index, down: sorted.column === index ? !sorted.down : columns[index].better === "higher" };
      drawTable();
      table.querySelectorAll("thead button")[index].focus();
    };
    table.replaceChildren(
      make("caption", { class: "hs-hidden" }, "Every codec setting on every clip"),
      make("thead", {},
        make("tr", {}, ...groups.map((group) => make("th", { scope: "colgroup", colspan: group.span, class: "hs-group" }, GROUP_WORDS[group.name] ?? group.name))),
        make("tr", {}, ...columns.map((column, index) => make("th", { scope: "col", title: column.about || null, "aria-sort": sorted.column === index ? (sorted.down ? "descending" : "ascending") : null, class: column.group ? "hs-number-cell" : null },
          make("button", { type: "button", onclick: () => sort(index) }, column.name, sorted.column === index ? (sorted.down ? " ▾" : " ▴") : ""))))),
      make("tbody", { class: "hs-originals" }, ...(value().originals ?? []).map((row) => tableRow(row, "–"))),
      make("tbody", {}, ...order.map((at) => tableRow(rows[at], "n/a"))));
    stick();
  }

  /* The second column sticks where the first ends, which is known once both are on the screen. */
  function stick() {
    root.style.setProperty("--hs-first-column", `${table.querySelector("tbody td")?.offsetWidth ?? 0}px`);
  }

  /* The original's row (on top, whatever is sorted) has no bits and no times, which is not worth an n/a. */
  function tableRow(row, none) {
    return make("tr", {}, ...value().columns.map((column, index) => {
      const cell = row.cells[index];
      if (!column.group) return make(index === 1 ? "th" : "td", index === 1 ? { scope: "row" } : {}, cell);
      if (row.pending && column.better) return make("td", { class: "hs-number-cell hs-pending", title: "Being measured", "aria-label": "being measured" }, "…");
      return make("td", { class: "hs-number-cell", title: row.reasons[index] || null }, cell === null && !column.better ? none : words(cell, column.digits));
    }));
  }

  /* ---- chart ---- */

  /* One point a setting: the mean over the clips it was measured on. */
  function points(column) {
    const { rows, columns } = value();
    const [x, y, label] = [columns.findIndex((one) => one.name === BITRATE), columns.indexOf(column), 1];
    const settings = new Map();
    for (const row of rows) {
      const [kbps, quality] = [number(row.cells[x]), number(row.cells[y])];
      if (row.cells[y] === null || !Number.isFinite(quality) || !kbps) continue;
      const key = row.cells[label];
      if (!settings.has(key)) settings.set(key, { series: row.series, label: key, all: [] });
      settings.get(key).all.push([kbps, quality]);
    }
    const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
    return [...settings.values()].map(({ series, label: name, all }) => ({ series, name, clips: all.length, x: mean(all.map((one) => one[0])), y: mean(all.map((one) => one[1])) }));
  }

  /* What the original itself gets, over all clips, where that is not known beforehand: of a predicted opinion. */
  function originalsValue(column) {
    if (!column.judged) return null;
    const cells = (value().originals ?? []).map((row) => row.cells[value().columns.indexOf(column)]).filter((cell) => cell !== null);
    return cells.length ? cells.reduce((sum, cell) => sum + number(cell), 0) / cells.length : null;
  }

  function drawChart() {
    const column = value().columns.find((one) => id(one) === metric);
    const found = points(column);
    about.textContent = `${{ higher: "Higher is better", lower: "Lower is better", "nearer to 0": "Nearer to 0 is better" }[column.better]}. Source: ${column.about.split(" Range:")[0]}`;
    const draw = (tag, attributes, ...children) => {
      const made = document.createElementNS(SVG, tag);
      for (const [name, text] of Object.entries(attributes)) made.setAttribute(name, text);
      made.append(...children);
      return made;
    };
    const WIDTH = Math.min(WIDEST, Math.max(NARROWEST, chart.clientWidth || WIDEST)); // letters keep their size on a phone
    const names = [...new Set(value().rows.map((row) => row.series))];
    const look = (series) => LOOKS[names.indexOf(series) % LOOKS.length];
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${column.name} over bitrate: ${found.map((point) => `${point.name} ${point.x.toPrecision(2)} kbit/s ${point.y.toPrecision(3)}`).join("; ")}` });
    chart.replaceChildren(svg);
    legend.replaceChildren(...names.map((series) => {
      const [colour, shape] = look(series);
      const icon = draw("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, mark(draw, shape, colour, 0, 0));
      return make("li", {}, icon, series);
    }));
    if (!found.length) { svg.append(draw("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle", fill: "currentColor" }, value().rows.some((row) => row.pending) ? "being measured …" : "not measured")); return; }
    const [low, high] = [Math.min(...found.map((point) => point.x)) / 1.3, Math.max(...found.map((point) => point.x)) * 1.3];
    const ceiling = originalsValue(column);
    const values = [...found.map((point) => point.y), ...(ceiling === null ? [] : [ceiling])];
    const room = (Math.max(...values) - Math.min(...values)) * 0.08 || Math.abs(values[0]) * 0.1 || 1;
    const [bottom, top] = [Math.min(...values) - room, Math.max(...values) + room];
    const x = (kbps) => LEFT + (Math.log(kbps / low) / Math.log(high / low)) * (WIDTH - LEFT - RIGHT);
    const y = (quality) => HEIGHT - BOTTOM - ((quality - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
    for (const kbps of [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256]) {
      if (kbps < low || kbps > high) continue;
      svg.append(draw("line", { x1: x(kbps), x2: x(kbps), y1: TOP, y2: HEIGHT - BOTTOM, class: "hs-grid" }), draw("text", { x: x(kbps), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, String(kbps)));
    }
    const step = niceStep((top - bottom) / 4);
    for (let tick = Math.ceil(bottom / step) * step; tick <= top; tick += step) {
      svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "hs-grid" }), draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, Number(tick.toFixed(4)).toString().replace("-", "−")));
    }
    svg.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "Bitrate (kbit/s), by doublings"));
    if (ceiling !== null) {
      svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(ceiling), y2: y(ceiling), class: "hs-ceiling" }), draw("text", { x: WIDTH - RIGHT, y: y(ceiling) - 5, "text-anchor": "end" }, `the original: ${ceiling.toFixed(2)}`));
    }
    for (const series of names) {
      const [colour, shape] = look(series);
      const ladder = found.filter((point) => point.series === series).sort((a, b) => a.x - b.x);
      if (ladder.length > 1) svg.append(draw("polyline", { points: ladder.map((point) => `${x(point.x)},${y(point.y)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
      for (const point of ladder) {
        const spot = mark(draw, shape, colour, x(point.x), y(point.y));
        const over = point.clips > 1 ? `, mean over ${point.clips} clips` : "";
        spot.append(draw("title", {}, `${point.name}: ${point.x.toPrecision(3)} kbit/s, ${point.y.toPrecision(4)}${over}`));
        svg.append(spot);
      }
    }
  }

  function mark(draw, shape, colour, x, y) {
    const look = { fill: colour, stroke: colour, "stroke-width": 2, class: "hs-mark" };
    if (shape === "circle") return draw("circle", { ...look, cx: x, cy: y, r: 4.5 });
    if (shape === "square") return draw("rect", { ...look, x: x - 4.5, y: y - 4.5, width: 9, height: 9 });
    if (shape === "triangle") return draw("path", { ...look, d: `M${x} ${y - 5.5}l5.5 9.5h-11z` });
    if (shape === "diamond") return draw("path", { ...look, d: `M${x} ${y - 6}l6 6-6 6-6-6z` });
    return draw("path", { ...look, "stroke-width": 3, fill: "none", d: `M${x - 4.5} ${y - 4.5}l9 9m0-9l-9 9` });
  }

  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  }
};
