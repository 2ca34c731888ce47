/* Plays versions of one sound on one clock: all run at once and only their volumes change, so switching is exact to the
   sample and nothing starts again. Shared by the listening bench and the blind tests. */
"use strict";

window.HiggsStudio.SyncPlayer = class {
  static LEAD_SECONDS = 0.03; // between asking for a start and the start, so that all sources begin together
  static FADE_SECONDS = 0.005; // a switch without a click
  static decoded = new Map(); // address -> promise of {rate, channels}; the newest few
  static KEPT = 48;
  static LIMIT_HZ = 7600; // "limited to 16 kHz": nothing is left at 8 kHz
  static LIMIT_TAPS = 127 / 24000; // on each side, by the sample rate: as steep at any rate

  /* tell() is called when it starts, stops, or has more to play. */
  constructor(tell) {
    this.tell = tell;
    this.context = null;
    this.tracks = []; // {url, gain (dB), buffer, volume (node), source}
    this.heard = 0;
    this.paused = 0; // position in seconds while nothing plays
    this.run = null; // {when, offset, from, to, loop}: what is playing, in the context's time
    this.region = null; // {from, to}: the stretch to play
    this.loop = false;
    this.limited = false; // whether all are heard without what lies above 8 kHz
    this.length = 0; // seconds
  }

  get playing() { return this.run !== null; }

  /* Make these the tracks, [{url, gain}]; those already there are kept as they are, and playing goes on. */
  async load(tracks, rate) {
    const urls = tracks.map((track) => track.url);
    if (this.tracks.some((track, index) => track.url !== urls[index])) this.clear();
    if (!this.context || this.rate !== rate) this.open(rate);
    const context = this.context;
    tracks.forEach((track, index) => {
      if (!this.tracks[index]) {
        const volume = context.createGain();
        volume.gain.value = 0;
        volume.connect(this.sum);
        this.tracks[index] = { url: track.url, gain: 0, buffer: null, volume, source: null };
      }
      this.tracks[index].gain = track.gain ?? 0;
    });
    this.balance();
    await Promise.all(this.tracks.map(async (track) => {
      if (track.buffer) return;
      const { rate: fileRate, channels } = await HiggsStudio.SyncPlayer.fetch(track.url);
      if (track.buffer || this.context !== context || !this.tracks.includes(track)) return;
      track.buffer = context.createBuffer(channels.length, Math.max(1, channels[0].length), fileRate);
      channels.forEach((samples, index) => track.buffer.copyToChannel(samples, index));
      this.length = Math.max(this.length, track.buffer.duration);
      if (this.run) this.join(track);
      this.tell();
    }));
  }

  /* The samples of a WAV file, parsed here: bit for bit what was written. */
  static fetch(url) {
    const { decoded, KEPT } = HiggsStudio.SyncPlayer;
    if (!decoded.has(url)) {
      decoded.set(url, fetch(HiggsStudio.fileUrl(url)).then(async (answer) => {
        if (!answer.ok) throw new Error("This sound is no longer here: results are kept for a day. Make it again.");
        return HiggsStudio.parseWav(await answer.arrayBuffer());
      }));
      decoded.get(url).catch(() => decoded.delete(url));
      if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
    }
    return decoded.get(url);
  }

  open(rate) {
    this.context?.close();
    this.rate = rate;
    try {
      this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    } catch { // a rate this browser does not play: it converts
      this.context = new AudioContext();
    }
    this.sum = this.context.createGain(); // of all tracks, one of which is loud
    this.filter = null;
    this.connect();
  }

  /* Hear everything up to 8 kHz only, or all of it: one filter behind all versions, so it treats them alike. */
  limit(limited) {
    this.limited = limited;
    if (this.context) this.connect();
  }
  connect() {
    this.sum.disconnect();
    if (!this.limited) { this.sum.connect(this.context.destination); return; }
    if (!this.filter) {
      const { LIMIT_HZ, LIMIT_TAPS, lowPass } = HiggsStudio.SyncPlayer;
      const { sampleRate } = this.context;
      const count = 2 * Math.round(LIMIT_TAPS * sampleRate) + 1;
      const buffer = this.context.createBuffer(1, count, sampleRate);
      buffer.copyToChannel(lowPass(LIMIT_HZ / sampleRate, count), 0);
      this.filter = this.context.createConvolver();
      this.filter.normalize = false;
      this.filter.buffer = buffer;
      this.filter.connect(this.context.destination);
    }
    this.sum.connect(this.filter);
  }

  /* A steep low-pass of even delay (some 5 ms): a sinc under a Blackman window. The cut-off is a share of the sample rate. */
  static lowPass(cutoff, count) {
    const middle = (count - 1) / 2;
    const taps = Float32Array.from({ length: count }, (_, index) => {
      const away = index - middle;
      const sinc = away === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * away) / (Math.PI * away);
      const turn = (2 * Math.PI * index) / (count - 1);
      return sinc * (0.42 - 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn));
    });
    const sum = taps.reduce((total, tap) => total + tap, 0);
    return taps.map((tap) => tap / sum);
  }

  clear() {
    this.halt();
    for (const track of this.tracks) track.volume.disconnect();
    [this.tracks, this.heard, this.region, this.length, this.paused] = [[], 0, null, 0, 0];
    this.tell(); // only now: there is nothing to play until the next tracks have come
  }

  /* Seconds into the sound, by the one clock that plays it. */
  position() {
    return this.run ? this.positionAt(this.context.currentTime) : this.paused;
  }
  positionAt(time) {
    const { when, offset, from, to, loop } = this.run;
    const raw = offset + Math.max(0, time - when);
    return loop && raw >= to ? from + ((raw - from) % (to - from)) : Math.min(raw, to);
  }

  play(at = this.position()) {
    if (!this.tracks[this.heard]?.buffer) return;
    this.context.resume();
    this.halt();
    const from = this.region?.from ?? 0;
    const to = Math.min(this.region?.to ?? this.length, this.length);
    const offset = at >= from && at < to - 0.005 ? at : from;
    this.run = { when: this.context.currentTime + HiggsStudio.SyncPlayer.LEAD_SECONDS, offset, from, to, loop: this.loop };
    for (const track of this.tracks) if (track.buffer) this.join(track);
    this.tell();
  }

  /* Let a track take part in what is playing. */
  join(track) {
    const run = this.run;
    const when = Math.max(run.when, this.context.currentTime + HiggsStudio.SyncPlayer.LEAD_SECONDS);
    const offset = this.positionAt(when);
    const source = this.context.createBufferSource();
    source.buffer = track.buffer;
    source.connect(track.volume);
    if (run.loop) {
      [source.loop, source.loopStart, source.loopEnd] = [true, run.from, run.to];
      source.start(when, offset);
    } else {
      source.start(when, offset, Math.max(0, run.to - offset));
    }
    source.onended = () => { if (this.run === run && track === this.tracks[this.heard]) this.stop(run.to < this.length ? run.from : 0, run.to); };
    track.source = source;
  }

  halt() {
    for (const track of this.tracks) {
      if (track.source) {
        track.source.onended = null;
        track.source.stop();
        track.source.disconnect();
        track.source = null;
      }
    }
    this.run = null;
  }

  /* Stop where it is, or at a given place. */
  stop(at = this.position()) {
    this.halt();
    this.paused = at;
    this.tell();
  }

  toggle() { if (this.playing) this.stop(); else this.play(); }

  seek(seconds) {
    const place = Math.min(Math.max(0, seconds), this.length);
    if (this.playing) this.play(place); else { this.paused = place; this.tell(); }
  }

  /* The stretch to play, null for all; what plays goes on within it. */
  setRegion(region, loop = this.loop) {
    [this.region, this.loop] = [region, loop];
    if (this.playing) this.play(); else this.tell();
  }

  /* Hear another track: its volume up, the others' down, nothing else. */
  choose(index) {
    this.heard = index;
    this.balance();
    this.tell();
  }
  balance() {
    if (!this.context) return;
    const now = this.context.currentTime;
    this.tracks.forEach((track, index) => {
      const wanted = index === this.heard ? 10 ** (track.gain / 20) : 0;
      const volume = track.volume.gain;
      volume.cancelScheduledValues(now);
      volume.setValueAtTime(volume.value, now);
      volume.linearRampToValueAtTime(wanted, now + HiggsStudio.SyncPlayer.FADE_SECONDS);
    });
  }
};

/* A WAV file as {rate, channels: [Float32Array]}: 16, 24 or 32 bit PCM, or 32 bit float. */
window.HiggsStudio.parseWav = (buffer) => {
  const view = new DataView(buffer);
  const word = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (word(0) !== "RIFF" || word(8) !== "WAVE") throw new Error("This file is no WAV file.");
  let format = null;
  for (let at = 12; at + 8 <= buffer.byteLength;) {
    const [name, size, start] = [word(at), view.getUint32(at + 4, true), at + 8];
    if (name === "fmt ") {
      const tag = view.getUint16(start, true);
      format = { float: (tag === 0xfffe ? view.getUint16(start + 24, true) : tag) === 3, count: view.getUint16(start + 2, true), rate: view.getUint32(start + 4, true), bytes: view.getUint16(start + 14, true) / 8 };
    } else if (name === "data") {
      const { float, count, rate, bytes } = format;
      const length = Math.floor(Math.min(size, buffer.byteLength - start) / (count * bytes));
      const read = float ? (place) => view.getFloat32(place, true)
        : bytes === 2 ? (place) => view.getInt16(place, true) / 2 ** 15
          : bytes === 3 ? (place) => ((view.getUint16(place, true) << 8) | (view.getUint8(place + 2) << 24)) / 2 ** 31
            : (place) => view.getInt32(place, true) / 2 ** 31;
      const channels = Array.from({ length: count }, (_, channel) => {
        const samples = new Float32Array(length);
        for (let index = 0; index < length; index += 1) samples[index] = read(start + (index * count + channel) * bytes);
        return samples;
      });
      return { rate, channels };
    }
    at = start + size + (size % 2);
  }
  throw new Error("This WAV file has no sound in it.");
};
