import { fileNameOf } from "../engine/file_names.js";
import { readLane } from "../engine/protocol.js";
import { isAbort, isVoice, memory, notify, shadeOf, titled } from "./notices.js";

/** @typedef {import("../engine/protocol.js").SeparatedSong} SeparatedSong */
/** @typedef {import("../engine/protocol.js").Encoding} Encoding */

/* A browser copies what is saved, and says nothing of its end. */
const COPY_SECONDS = 60;
const MIXTURE = "mixture";
const SAVE = `<button type="button" class="icon save-lane" title="Save"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 4v11M7 11l5 5 5-5M5 20h14"/></svg></button>`;

/** The song that is shown: its player, karaoke, and its files to save. */
export class SongCard {
  /** @param {import("../engine/protocol.js").Separator} separator */
  constructor(separator) {
    this.separator = separator;
    /** @type {SeparatedSong | null} */
    this.song = null;
    /** What is being saved → its song; the worker makes one after the other. */
    this.saves = /** @type {Map<AbortController, SeparatedSong>} */ (new Map());
    /** When something of a song was saved last. */
    this.saved = /** @type {WeakMap<SeparatedSong, number>} */ (new WeakMap());
    this.player = new Player(find("#player"));
    this.player.oneSolo = false;
    this.karaokeButton = find("#karaoke");
    this.encoding = find("#encoding");
    this.encoding.value = memory.get("encoding") ?? "wav16";
    if (!this.encoding.value) this.encoding.value = "wav16";
    this.player.addEventListener("mix", () => this.#mixed());
    this.player.addEventListener("fail", (event) => {
      notify(/** @type {CustomEvent} */ (event).detail);
    });
    this.karaokeButton.addEventListener("click", () => this.karaoke());
    this.encoding.addEventListener("change", () => {
      memory.set("encoding", this.encoding.value);
    });
    find("#save-all").addEventListener("click", () => this.#saveAll());
    find("#save-karaoke").addEventListener("click", () => this.#saveKaraoke());
    find("#stop-saving").addEventListener("click", () => this.#stopSaving());
    document.addEventListener("keydown", (event) => {
      const plain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.repeat;
      const typing = /** @type {Element} */ (event.target).matches?.("input:not([type=range]), select");
      if (plain && !typing && event.key.toLowerCase() === "k") this.karaoke();
    });
  }

  /** @param {SeparatedSong | null} song */
  show(song) {
    this.song = song;
    find("#song").hidden = !song;
    if (!song) {
      this.player.close();
      return;
    }
    const shade = shadeOf(this.#stems);
    const lanes = song.lanes.map((lane) => ({
      title: lane.name === MIXTURE ? "Original" : titled(lane.name),
      shade: lane.name === MIXTURE ? undefined : shade(lane.name),
      peaks: lane.peaks,
      alone: lane.name === MIXTURE,
      name: lane.name,
      source: {
        read: (/** @type {number} */ start, /** @type {number} */ frames) =>
          readLane(song, lane, start, frames),
      },
    }));
    find("#song-title").textContent = song.name;
    find("#remarks").textContent = song.remarks.join(" · ");
    this.player.show({
      rate: song.sampleRateHz,
      duration: song.frames / song.sampleRateHz,
      lanes,
    });
    song.lanes.forEach((lane, place) => this.#addSave(this.player.lanes[place], lane.name));
    this.karaokeButton.hidden = !this.#voices.length || song.lanes.length < 3;
    // With two stems it is the other one.
    find("#save-karaoke").hidden = !this.#voices.length || song.lanes.length < 4;
    this.#mixed();
  }

  /**
   * Ends what is being saved of a song that is removed, and waits until the browser has copied what
   * was saved of it.
   *
   * @param {SeparatedSong} song
   */
  async release(song) {
    this.#stopSaving((other) => other === song);
    const since = performance.now() - (this.saved.get(song) ?? -Infinity);
    if (since < 1000 * COPY_SECONDS) await sleep(COPY_SECONDS - since / 1000);
  }

  /** The lanes that karaoke leaves out. */
  get #voices() {
    return this.player.lanes.filter((lane) => isVoice(lane.name));
  }

  /** @returns {boolean} Whether all but the voice is heard. */
  get #isKaraoke() {
    const stems = this.player.lanes.filter((lane) => !lane.data.alone);
    const solos = this.player.lanes.some((lane) => lane.soloed);
    return stems.every((lane) => lane.heard(solos) !== isVoice(lane.name));
  }

  #mixed() {
    this.karaokeButton.setAttribute("aria-pressed", String(this.#isKaraoke));
  }

  /** Leaves the voice out, or brings it back. */
  karaoke() {
    if (!this.song || this.karaokeButton.hidden) return;
    const on = !this.#isKaraoke;
    for (const lane of this.player.lanes) {
      lane.soloed = false;
      lane.muted = on && isVoice(lane.name);
    }
    this.player.mix();
  }

  /**
   * @param {Lane} lane
   * @param {string} name
   */
  #addSave(lane, name) {
    const button = lane.buttons.appendChild(fromHtml(SAVE));
    button.setAttribute("aria-label", `Save ${lane.name}`);
    button.addEventListener("click", () => this.#saveSum([name], name));
  }

  #saveKaraoke() {
    this.#saveSum(
      this.#stems.filter((name) => !isVoice(name)),
      "karaoke",
    );
  }

  /**
   * @param {string[]} names Of lanes, whose sum is saved.
   * @param {string} title
   */
  #saveSum(names, title) {
    const song = /** @type {SeparatedSong} */ (this.song);
    const encoding = /** @type {Encoding} */ (this.encoding.value);
    const file = `${fileNameOf(song.name)} - ${title}.${encoding === "flac" ? "flac" : "wav"}`;
    this.#save(file, (options) => this.separator.encode(song.id, names, encoding, options));
  }

  /** The names of the stems. */
  get #stems() {
    const names = this.song?.lanes.map((lane) => lane.name) ?? [];
    return names.filter((name) => name !== MIXTURE);
  }

  #saveAll() {
    const song = /** @type {SeparatedSong} */ (this.song);
    const encoding = /** @type {Encoding} */ (this.encoding.value);
    const stems = this.#stems;
    this.#save(`${fileNameOf(song.name)}.zip`, (options) =>
      this.separator.zip(song.id, stems, encoding, options),
    );
  }

  /**
   * @param {string} file
   * @param {(options: import("../engine/protocol.js").CallOptions) => Promise<Blob>} make
   */
  async #save(file, make) {
    const saving = new AbortController();
    const song = /** @type {SeparatedSong} */ (this.song);
    this.saves.set(saving, song);
    find("#stop-saving").hidden = false;
    const tell = (/** @type {string} */ text) => {
      find("#saving").textContent = text;
    };
    tell(`Preparing ${file}…`);
    try {
      const content = await make({
        signal: saving.signal,
        onProgress: ({ stage, done }) => {
          const waits = stage !== "encoding";
          tell(`Preparing ${file}${waits ? "…" : `: ${Math.floor(100 * done)} %`}`);
        },
      });
      download(content, file);
      this.saved.set(song, performance.now());
      tell(`${file} is saved.`);
    } catch (error) {
      tell("");
      if (!isAbort(error)) notify(error);
    }
    this.saves.delete(saving);
    find("#stop-saving").hidden = this.saves.size === 0;
  }

  /** @param {(song: SeparatedSong) => boolean} [which] By default all. */
  #stopSaving(which = () => true) {
    for (const [saving, song] of this.saves) if (which(song)) saving.abort();
  }
}

/**
 * @param {Blob} content
 * @param {string} file
 */
function download(content, file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000 * COPY_SECONDS);
}
