import { isAbort, lineOf, notify, say } from "./notices.js";

/** @typedef {import("../engine/protocol.js").SeparatedSong} SeparatedSong */
/** @typedef {import("../engine/protocol.js").Progress} Progress */

const ROW = `
<li class="job">
<button type="button" class="title" disabled></button>
<span class="state">Waiting</span>
<button type="button" class="icon remove"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18"/></svg></button>
<progress max="1" value="0" hidden></progress>
</li>`;
const STAGES = { waiting: "Waiting", decoding: "Reading", separating: "Separating", encoding: "" };

/** A song of the queue: its row, and what became of it. */
class Job {
  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.abort = new AbortController();
    /** @type {SeparatedSong | null} */
    this.song = null;
    this.ended = false;
    this.row = fromHtml(ROW);
    this.title = find(".title", this.row);
    this.removeButton = find(".remove", this.row);
    this.bar = find("progress", this.row);
    this.title.textContent = file.name;
    this.title.title = file.name;
    this.removeButton.setAttribute("aria-label", `Cancel ${file.name}`);
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
  }

  /** @param {Progress} progress */
  follow({ stage, done, secondsLeft }) {
    const share = `${Math.floor(100 * done)} %`;
    const left = secondsLeft === null ? "" : ` · ${timeLeft(secondsLeft)}`;
    const shown = stage === "waiting" || (stage === "decoding" && !done) ? "" : ` ${share}`;
    this.tell(`${STAGES[stage]}${shown}${left}`);
    if (stage === "separating") {
      this.bar.hidden = false;
      this.bar.value = done;
      document.title = `${share} · ${this.file.name}`;
    }
  }

  /** @param {SeparatedSong} song */
  finish(song) {
    this.song = song;
    const seconds = Math.max(song.seconds, 0.1).toFixed(song.seconds < 10 ? 1 : 0);
    this.tell(`${clock(song.frames / song.sampleRateHz, 0)} · took ${seconds} s`);
    this.title.disabled = false;
    this.end();
  }

  /** @param {unknown} error */
  fail(error) {
    this.row.classList.add("failed");
    this.tell(lineOf(error, this.file.name));
    this.end();
  }

  end() {
    this.ended = true;
    this.bar.remove();
    this.removeButton.setAttribute("aria-label", `Remove ${this.file.name}`);
  }

  /** @param {string} text */
  tell(text) {
    find(".state", this.row).textContent = text;
  }
}

/** @param {number} seconds */
function timeLeft(seconds) {
  if (seconds < 1.5) return "1 s left";
  if (seconds < 90) return `${Math.round(seconds)} s left`;
  return `${Math.round(seconds / 60)} min left`;
}

/**
 * The songs: separated one after the other, and shown when someone chooses one.
 *
 * Fires "choose", whose detail is the song to show, or null.
 */
export class Queue extends EventTarget {
  /** @param {import("../engine/protocol.js").Separator} separator */
  constructor(separator) {
    super();
    this.separator = separator;
    /** @type {Job[]} */
    this.jobs = [];
    /** @type {Job | null} */
    this.shown = null;
    /** Whether the next song that is separated shows itself. */
    this.expected = true;
    /** Whether someone listens, whom no other song should interrupt. */
    this.listening = () => false;
    /** Waits until none needs a song's files. @type {(song: SeparatedSong) => Promise<void>} */
    this.release = async () => {};
    this.pageTitle = document.title;
    window.addEventListener("beforeunload", (event) => {
      if (this.working) event.preventDefault();
    });
  }

  get working() {
    return this.jobs.some((job) => !job.ended);
  }

  /** @param {Iterable<File>} files */
  add(files) {
    this.expected ||= !this.working;
    for (const file of files) this.#run(file);
    this.#arrange();
  }

  /** @param {File} file */
  async #run(file) {
    const job = new Job(file);
    this.jobs.push(job);
    find("#jobs").append(job.row);
    job.title.addEventListener("click", () => this.show(job));
    job.removeButton.addEventListener("click", () => this.#remove(job));
    try {
      const song = await this.separator.separate(file, {
        signal: job.abort.signal,
        onProgress: (progress) => job.follow(progress),
      });
      job.finish(song);
      say(`${file.name} is separated.`);
      if (!this.shown || (this.expected && !this.listening())) this.show(job);
      this.expected = false;
    } catch (error) {
      if (isAbort(error)) this.#drop(job);
      else this.#failed(job, error);
    }
    if (!this.working) document.title = this.pageTitle;
  }

  /**
   * @param {Job} job
   * @param {unknown} error
   */
  #failed(job, error) {
    job.fail(error);
    say(`${job.file.name}: ${lineOf(error, job.file.name)}`);
  }

  /** @param {Job} job */
  show(job) {
    this.shown = job;
    for (const other of this.jobs) {
      other.row.classList.toggle("shown", other === job);
      if (other === job) other.title.setAttribute("aria-current", "true");
      else other.title.removeAttribute("aria-current");
    }
    this.dispatchEvent(new CustomEvent("choose", { detail: job.song }));
  }

  /** @param {Job} job */
  #remove(job) {
    if (!job.ended) {
      job.abort.abort();
      job.tell("Cancelling…");
      return;
    }
    if (job.song) this.#forget(job.song).catch(notify);
    this.#drop(job);
  }

  /** @param {SeparatedSong} song */
  async #forget(song) {
    await this.release(song);
    await this.separator.forget(song.id);
  }

  /** @param {Job} job */
  #drop(job) {
    const place = this.jobs.indexOf(job);
    this.jobs.splice(place, 1);
    const focused = job.row.contains(document.activeElement);
    job.row.remove();
    const next = this.jobs[Math.min(place, this.jobs.length - 1)];
    if (focused) (next?.removeButton ?? find("#choose")).focus();
    if (this.shown === job) {
      this.shown = null;
      const other = this.jobs.find((each) => each.song);
      if (other) this.show(other);
      else this.dispatchEvent(new CustomEvent("choose", { detail: null }));
    }
    this.#arrange();
  }

  #arrange() {
    find("#queue").hidden = !this.jobs.length;
    this.dispatchEvent(new Event("change"));
  }
}
