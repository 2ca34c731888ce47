/* Where a job stands, in words and as a bar; tells the script rows how far each line is. */
"use strict";

window.HiggsStudio.mountStatus = (element, props, watch, server, trigger) => {
  const { make, memory, clock, Live } = window.HiggsStudio;
  const words = make("p", { class: "hs-status-words" });
  const spoken = make("p", { class: "hs-unseen", role: "status" }); // read aloud at turning points, not every frame
  const bar = make("progress", { max: 1, "aria-label": "Progress" });
  const list = make("ul", { class: "hs-notes" });
  const jobs = make("ol", { class: "hs-jobs", "aria-label": "Jobs of this project", hidden: true });
  element.querySelector(".hs-status").replaceChildren(words, bar, jobs, list, spoken);
  const listening = make("p", { class: "hs-quiet hs-listening", hidden: true });
  words.after(listening);
  const live = (window.HiggsStudio.live = new Live((told) => {
    listening.hidden = ["ended", "stopped", "failed"].includes(told.state); // what failed is heard when it is done
    listening.textContent = told.state === "waiting" ? "Waiting for the first sound …" : `♪ Hearing ${clock(told.played)} of ${clock(told.buffered)}${told.complete ? "" : " spoken so far"}`;
  }));
  let heard = null; // token of what is or was being listened to
  let project = ""; // whose jobs are shown
  document.addEventListener("click", (event) => { // sound may begin only in a click's own handler
    if (event.target.closest?.("#hs-generate, #hs-speak-changed, [data-tool=Speak], .hs-takes button") && document.querySelector("#hs-listen input")?.checked) live.unlock();
  }, true);
  let before = "idle";
  const show = () => {
    const value = props.value ?? {};
    const state = value.state ?? "idle";
    if (state !== before) spoken.textContent = value.text ?? "";
    if (state === "failed") live.stop(); // what is heard would be of an earlier one
    window.dispatchEvent(new CustomEvent("higgs-studio:status", { detail: { state, text: value.text ?? "" } }));
    if (state === "done" && before === "running") document.querySelector("#hs-result")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    before = state;
    element.querySelector(".hs-status").dataset.state = state;
    if (words.textContent !== (value.text ?? "")) words.textContent = value.text ?? "";
    bar.hidden = value.state !== "running";
    if (value.share == null) bar.removeAttribute("value"); else bar.value = value.share;
    list.replaceChildren(...(value.notes ?? []).map((note) => make("li", {}, note)));
    if (value.lines) window.dispatchEvent(new CustomEvent("higgs-studio:progress", { detail: value.lines }));
    if (value.project && value.project !== project) memory.write("project", value.project); // a reload finds the job again, also before it is done
    project = value.project ?? project;
    showJobs(value.jobs ?? []);
    if (value.live && value.live !== heard) {
      heard = value.live;
      if (live.unlocked) live.play(heard); // not after a reload: browsers play nothing before a click
    }
    if (value.stopped) live.stop();
  };
  /* The rows keep their elements while their numbers move, so that a button is not replaced under the hand. */
  const showJobs = (items) => {
    jobs.hidden = !items.length;
    const old = new Map([...jobs.children].map((row) => [row.dataset.id, row]));
    jobs.replaceChildren(...items.map((job) => {
      const row = old.get(job.id) ?? make("li", { "data-id": job.id },
        make("span", { class: "hs-job-title" }, job.title), make("span", { class: "hs-job-words" }), make("progress", { max: 1, "aria-label": `Progress of ${job.title}` }),
        make("button", { type: "button", class: "hs-icon", "aria-label": `Stop ${job.title}`, title: "Stop this one", onclick: () => server.stop_job({ project, job: job.id }) }, "✕"));
      row.dataset.state = job.state;
      row.children[1].textContent = job.words;
      row.children[2].value = job.share;
      row.children[3].disabled = job.state !== "running" && job.state !== "waiting";
      return row;
    }));
  };
  /* While something is spoken there is news several times a second. Where there is none for long, the connection was lost
     (a laptop slept, a network changed): ask anew. */
  const PATIENCE_MS = 8000;
  let news = performance.now();
  setInterval(() => {
    if (props.value?.state !== "running" || performance.now() - news < PATIENCE_MS) return;
    news = performance.now();
    trigger?.("submit");
  }, 1000);
  watch("value", () => { news = performance.now(); show(); });
  show();
};

/* Ctrl+Enter (or Cmd+Enter) does what the tab is for (speaks, compares), Escape stops it. */
{
  const press = (id) => {
    const button = document.querySelector(`${id}:not([disabled])`);
    if (button?.offsetParent) button.click();
  };
  const begins = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey);
  const begin = (event) => {
    event.preventDefault();
    press("#hs-generate");
    press("#hs-lab-compare");
  };
  window.addEventListener("keydown", (event) => {
    if (!begins(event) || event.target.type !== "checkbox") return;
    event.stopPropagation(); // Gradio's boxes are ticked by any Enter
    begin(event);
  }, true);
  window.addEventListener("keydown", (event) => {
    if (begins(event)) begin(event);
    else if (event.key === "Escape") {
      press("#hs-stop");
      press("#hs-lab-stop");
    }
  });
}
