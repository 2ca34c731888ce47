/* Plays what is being spoken while it is spoken: fetches /live/TOKEN and schedules its samples on one audio clock, without a
   gap. When the exact WAV is there, stop() gives the position to go on from. */
"use strict";

window.HiggsStudio.Live = class {
  static LEAD_SECONDS = 0.06; // sound in hand before the first is played: the first piece lasts until the second is made
  static LEAD_AGAIN_SECONDS = 0.3; // after it ran dry: somebody is slower than they seemed
  static TELL_MS = 100;

  /* tell({state, played, buffered, complete}) is called while it plays, in seconds. state: "waiting" for the first sound,
     "playing", "dry" (more is being made), "ended" (all was heard), "stopped", "failed" (with `problem`, a sentence). */
  constructor(tell) {
    this.tell = tell;
    this.context = null;
    this.state = "stopped";
    this.reset();
  }

  reset() {
    this.buffered = 0; // seconds that have come
    this.origin = null; // when, in the context's time, second 0 was or would have been played
    this.complete = false;
    this.waiting = []; // samples that have come and are not scheduled yet
    this.sources = new Set();
    this.odd = null; // the first byte of a sample whose second has not come
  }

  /* Browsers let sound begin only after a click: call this in the click's own handler, before anything is awaited. */
  unlock() {
    if (!this.context || this.context.state === "closed") this.context = new AudioContext({ sampleRate: 24000 });
    this.context.resume();
  }

  /* Whether a click has let sound begin on this page. */
  get unlocked() {
    return this.context !== null;
  }

  /* Seconds of the sound that have been heard. */
  get position() {
    if (!this.context || this.origin === null) return 0;
    return Math.max(0, Math.min(this.buffered, this.context.currentTime - this.origin));
  }

  async play(token) {
    this.stop();
    this.reset();
    this.unlock();
    const abort = (this.abort = new AbortController());
    this.change("waiting");
    this.timer = setInterval(() => this.tick(), HiggsStudio.Live.TELL_MS);
    try {
      const answer = await fetch(HiggsStudio.fileUrl(`live/${token}`), { signal: abort.signal });
      this.rate = Number(answer.headers.get("X-Sample-Rate"));
      if (!answer.ok || !this.rate) throw new Error("This sound is no longer live.");
      const reader = answer.body.getReader();
      for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
        if (this.abort !== abort) return;
        this.take(value);
      }
      if (this.abort !== abort) return;
      this.complete = true;
      this.schedule(true);
    } catch (problem) {
      if (this.abort === abort && !abort.signal.aborted) this.end("failed", problem.message);
    }
  }

  /* Ends it. Returns the position, in seconds. */
  stop() {
    const position = this.position;
    if (this.abort) this.end("stopped");
    return position;
  }

  take(bytes) {
    if (this.odd !== null) {
      const whole = new Uint8Array(bytes.length + 1);
      whole[0] = this.odd;
      whole.set(bytes, 1);
      bytes = whole;
    }
    this.odd = bytes.length % 2 ? bytes[bytes.length - 1] : null;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length - (bytes.length % 2));
    if (!view.byteLength) return;
    const samples = new Float32Array(view.byteLength / 2);
    for (let index = 0; index < samples.length; index++) samples[index] = view.getInt16(2 * index, true) / 32767;
    this.waiting.push(samples);
    this.schedule(false);
  }

  /* Put what has come onto the clock, as soon as it is enough to begin with. */
  schedule(all) {
    const { LEAD_SECONDS, LEAD_AGAIN_SECONDS } = HiggsStudio.Live;
    const lead = this.origin === null ? LEAD_SECONDS : LEAD_AGAIN_SECONDS;
    const now = this.context.currentTime;
    const seconds = this.waiting.reduce((sum, samples) => sum + samples.length, 0) / this.rate;
    const dry = this.origin === null || now > this.origin + this.buffered;
    if (!seconds || (dry && !all && seconds < lead)) return;
    if (dry) this.origin = now + 0.03 - this.buffered;
    for (const samples of this.waiting) {
      const buffer = this.context.createBuffer(1, samples.length, this.rate);
      buffer.copyToChannel(samples, 0);
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.context.destination);
      source.onended = () => this.sources.delete(source);
      source.start(this.origin + this.buffered);
      this.sources.add(source);
      this.buffered += samples.length / this.rate;
    }
    this.waiting = [];
    this.change("playing");
  }

  tick() {
    const heard = this.origin !== null && this.context.currentTime >= this.origin + this.buffered;
    if (this.complete && !this.waiting.length && (heard || this.buffered === 0)) this.end("ended");
    else this.change(heard ? "dry" : this.state);
  }

  change(state, problem) {
    this.state = state;
    this.tell({ state, played: this.position, buffered: this.buffered, complete: this.complete, problem });
  }

  end(state, problem) {
    const played = this.position;
    clearInterval(this.timer);
    this.abort?.abort();
    this.abort = null;
    for (const source of this.sources) source.stop();
    this.sources.clear();
    this.state = state;
    this.tell({ state, played, buffered: this.buffered, complete: this.complete, problem });
    this.origin = null;
    this.context.suspend(); // a clock that runs keeps the device's sound on
  }
};
