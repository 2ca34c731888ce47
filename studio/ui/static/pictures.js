/* Painting sound and codes on a time axis: shared by the result view and the listening bench. */
"use strict";

window.HiggsStudio.Pictures = (() => {
  const { bytesOf, scale, VIRIDIS, CIVIDIS } = window.HiggsStudio;
  const DIVERGING = scale(["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"]); // blue, white, red
  const DIVERGING_DARK = scale(["#9eb0ff", "#5aa3da", "#2d7597", "#194155", "#11181d", "#270c01", "#501802", "#8a3f2a", "#c37469", "#ffacac"]); // the same with a dark middle: Crameri's berlin
  const CAPTION = 15, BESIDE_PLAYHEAD = 4; // pixels
  const RANGE_DB = 80; // of a mel picture's 256 steps
  const SHOWN_DIFFERENCE_DB = 40;
  const MEL = { colours: VIRIDIS, most: 255, upward: true };
  const CODES = (picture) => ({ colours: CIVIDIS, most: picture.size - 1, upward: false });
  const difference = () => ({ colours: document.body.classList.contains("dark") ? DIVERGING_DARK : DIVERGING, most: 255, upward: true });
  const DIFFERENT = { colours: CIVIDIS, most: 1, upward: false };

  /* Bytes are unpacked once; drawing works on typed arrays. */
  function unpack(picture) {
    if (picture && !picture.values) {
      const bytes = bytesOf(picture.bytes);
      if (!picture.size) picture.values = bytes;
      else picture.values = picture.size > 65536 ? new Uint32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
    }
    return picture;
  }

  /* A block of values as an image, stretched over its stretch of time; lowest row at the bottom where `upward`. */
  function paint(pen, box, picture, from, to, x, { colours, most, upward }) {
    if (!picture.image || picture.colours !== colours) { // the theme may have changed
      picture.colours = colours;
      const { rows, columns, values } = unpack(picture);
      const pixels = new ImageData(columns, rows);
      for (let row = 0; row < rows; row += 1) {
        const start = (upward ? rows - 1 - row : row) * columns;
        for (let column = 0; column < columns; column += 1) {
          const colour = colours[Math.round((values[start + column] / most) * 255)];
          const at = 4 * (row * columns + column);
          pixels.data[at] = colour[0];
          pixels.data[at + 1] = colour[1];
          pixels.data[at + 2] = colour[2];
          pixels.data[at + 3] = 255;
        }
      }
      picture.image = new OffscreenCanvas(columns, rows);
      picture.image.getContext("2d").putImageData(pixels, 0, 0);
    }
    pen.imageSmoothingEnabled = upward;
    pen.drawImage(picture.image, x(from), box.top, x(to) - x(from), box.height);
  }

  /* Second minus first, in dB, as a picture of its own: 128 is equal. */
  function melDifference(first, second) {
    const [a, b] = [unpack(first), unpack(second)];
    const columns = Math.min(a.columns, b.columns);
    const values = new Uint8Array(a.rows * columns);
    for (let row = 0; row < a.rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const decibels = ((b.values[row * b.columns + column] - a.values[row * a.columns + column]) / 255) * RANGE_DB;
        values[row * columns + column] = Math.round(128 + 127 * Math.max(-1, Math.min(1, decibels / SHOWN_DIFFERENCE_DB)));
      }
    }
    return { rows: a.rows, columns, values };
  }

  /* Whether two maps of codes are of one kind, so that comparing them means something. */
  const comparable = (first, second) => Boolean(first && second && first.size === second.size && first.frame_rate === second.frame_rate);

  /* 1 where two maps of codes differ, over what both have; with the share that differs. */
  function codeDifference(first, second) {
    const [a, b] = [unpack(first), unpack(second)];
    const [rows, columns] = [Math.min(a.rows, b.rows), Math.min(a.columns, b.columns)];
    const values = new Uint8Array(rows * columns);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        values[row * columns + column] = a.values[row * a.columns + column] === b.values[row * b.columns + column] ? 0 : 1;
      }
    }
    return { rows, columns, values, frame_rate: a.frame_rate, share: values.reduce((sum, one) => sum + one, 0) / Math.max(1, values.length) };
  }

  /* Pictures below one another, each with room above it for its caption where it has a name. */
  function stacked(gap) {
    const stack = [];
    let end = 0;
    const add = (kind, height, more = {}) => {
      const top = end + (more.name ? CAPTION : 0);
      stack.push({ kind, top, height, ...more });
      end = top + height + gap;
    };
    return { stack, add, get height() { return end - gap; } };
  }

  /* What a picture is, in the CAPTION pixels above it: nothing of it is covered. */
  function caption(pen, box, name, ink) {
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = ink;
    pen.fillText(name, BESIDE_PLAYHEAD, box.top - 4);
  }

  function axis(pen, box, view, x, width, ink) {
    const span = view.to - view.from;
    const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60].find((one) => (one / span) * width > 56) ?? 120;
    pen.fillStyle = ink;
    pen.font = "11px system-ui, sans-serif";
    for (let mark = Math.ceil(view.from / step) * step; mark <= view.to + 1e-6; mark += step) {
      pen.fillRect(x(mark), box.top, 1, 4);
      const label = `${Number(mark.toFixed(2))} s`;
      const wide = pen.measureText(label).width;
      pen.fillText(label, Math.min(Math.max(BESIDE_PLAYHEAD, x(mark) - wide / 2), width - wide), box.top + 16);
    }
  }

  /* Size a canvas for the screen it is on. Returns its pen and the colours of the theme. */
  function prepare(canvas, width, height) {
    const density = window.devicePixelRatio || 1;
    canvas.width = width * density;
    canvas.height = height * density;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(density, density);
    const style = getComputedStyle(canvas);
    return { pen, ink: style.getPropertyValue("--body-text-color") || "#444", ground: style.getPropertyValue("--background-fill-secondary") || "#eee" };
  }

  /* A stretch of the time axis: wider or narrower around a moment, within the whole. */
  function zoomed(view, whole, factor, around, mostZoom) {
    const width = Math.min(whole, Math.max(whole / mostZoom, (view.to - view.from) * factor));
    const share = Math.min(1, Math.max(0, (around - view.from) / (view.to - view.from)));
    const from = Math.min(Math.max(0, around - share * width), whole - width);
    return { from, to: from + width };
  }

  /* What a place in a mel spectrogram or a code map is, in words. */
  function melWords(mel, seconds, duration, share) {
    const { rows, columns, values } = unpack(mel);
    const row = Math.min(rows - 1, Math.floor((1 - share) * rows));
    const column = Math.floor((seconds / duration) * columns);
    return column < columns ? ` · mel band ${row + 1} of ${rows} · ${Math.round((values[row * columns + column] / 255) * RANGE_DB - RANGE_DB)} dB` : "";
  }
  function codeWords(codes, seconds, share) {
    const { rows, columns, values } = unpack(codes);
    const column = Math.floor((seconds - (codes.start ?? 0)) * codes.frame_rate);
    if (column < 0 || column >= columns) return "";
    const row = Math.min(rows - 1, Math.floor(share * rows));
    return ` · frame ${column} · codebook ${row + 1} · code ${values[row * columns + column]}`;
  }

  return { MEL, CODES, get DIFFERENCE() { return difference(); }, DIFFERENT, unpack, paint, melDifference, comparable, codeDifference, stacked, caption, axis, prepare, zoomed, melWords, codeWords };
})();
