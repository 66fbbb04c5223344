import { goOffline } from "../engine/offline.js";
import { missingFeatures, Separator } from "../engine/protocol.js";
import { Live } from "./live.js";
import { Models } from "./models.js";
import { notify } from "./notices.js";
import { Queue } from "./queue.js";
import { SongCard } from "./song_card.js";

/** @typedef {{models: Models, queue: Queue, card: SongCard, live: Live}} Parts */

/** @param {Parts} parts */
function join({ models, queue, card, live }) {
  const busy = () =>
    document.body.classList.toggle("busy", queue.jobs.length > 0 || live.running);
  queue.listening = () => !(card.player.mixer?.paused ?? true);
  queue.addEventListener("change", busy);
  queue.addEventListener("choose", (event) => card.show(/** @type {CustomEvent} */ (event).detail));
  queue.release = (song) => card.release(song);
  live.addEventListener("change", () => {
    // One thing sounds at a time, and the worker separates one at a time.
    if (live.running) card.player.mixer?.pause();
    find("#add").hidden = live.running;
    find("#model").disabled = live.running;
    find("#open-model").disabled = live.running;
    busy();
  });
  const add = (/** @type {Iterable<File>} */ files) => {
    const all = [...files];
    const isModel = (/** @type {File} */ file) => /\.tflite$/i.test(file.name);
    if (live.running) notify("Stop live mode before you separate songs.");
    else {
      all.filter(isModel).forEach((file) => models.open(file));
      queue.add(all.filter((file) => !isModel(file)));
    }
  };
  const input = find("#songs");
  find("#choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  acceptDrops(add);
}

/** @param {(files: Iterable<File>) => void} add */
function acceptDrops(add) {
  const mark = (/** @type {boolean} */ on) => document.body.classList.toggle("dropping", on);
  const hasFiles = (/** @type {DragEvent} */ event) =>
    event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    add(event.dataTransfer?.files ?? []);
  });
}

async function start() {
  document.body.dataset.started = "yes"; // see unstarted.js
  const missing = missingFeatures();
  if (missing.length) {
    notify(`This browser has no ${missing.join(", and no ")}, so it cannot separate songs.`);
    for (const button of document.querySelectorAll("main button")) {
      /** @type {HTMLButtonElement} */ (button).disabled = true;
    }
    return;
  }
  // Without isolation this reloads the page, and nothing else is worth to begin before.
  const offline = goOffline();
  if (!crossOriginIsolated) await offline;
  if (navigator.audioSession) navigator.audioSession.type = "playback"; // also when muted
  const separator = new Separator();
  const models = new Models(separator);
  const queue = new Queue(separator);
  const card = new SongCard(separator);
  const live = new Live(separator, models, queue);
  join({ models, queue, card, live });
  await models.start();
}

start().catch(notify);
