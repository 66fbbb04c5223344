import { goOffline } from "../engine/offline.js";
import { missingFeatures, Separator } from "../engine/protocol.js";
import { Live } from "./live.js";
import { Models } from "./models.js";
import { notify } from "./notices.js";
import { Queue } from "./queue.js";
import { SongCard } from "./song_card.js";

/** @typedef {{models: Models, queue: Queue, card: SongCard, live: Live}} Parts */

/** @typedef {(files: Iterable<File>) => void} Take */

/**
 * Connects the parts.
 *
 * @param {Parts} parts
 * @returns {Take} Takes songs and models.
 */
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
  return (files) => {
    const all = [...files];
    const isModel = (/** @type {File} */ file) => /\.tflite$/i.test(file.name);
    if (live.running) notify("Stop live mode before you separate songs.");
    else {
      all.filter(isModel).forEach((file) => models.open(file));
      queue.add(all.filter((file) => !isModel(file)));
    }
  };
}

/**
 * Accepts files that are chosen or dropped, also before there is what takes them.
 *
 * @returns {(take: Take) => void}
 */
function acceptFiles() {
  /** @type {File[]} */
  const early = [];
  /** @type {Take} */
  let take = (files) => {
    early.push(...files);
  };
  const input = find("#songs");
  find("#choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  acceptDrops((files) => take(files));
  return (ready) => {
    take = ready;
    if (early.length) take(early);
  };
}

/** @param {Take} add */
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
  const ready = acceptFiles();
  // Without isolation this reloads the page. And what is fetched before would not work offline.
  await goOffline();
  if (navigator.audioSession) navigator.audioSession.type = "playback"; // also when muted
  const separator = new Separator();
  const models = new Models(separator);
  const queue = new Queue(separator);
  const card = new SongCard(separator);
  const live = new Live(separator, models, queue);
  const take = join({ models, queue, card, live });
  await models.list();
  const loaded = models.loadFirst();
  ready(take);
  await loaded;
}

start().catch(notify);
