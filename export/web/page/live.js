import { isAbort, notify, say, shadeOf, titled } from "./notices.js";

/** @typedef {import("../engine/protocol.js").Separator} Separator */

/* A device must separate this many seconds in one, or it would fall behind now and then. */
const LEAST_SPEED = 1.3;
const TRIAL_SECONDS = 4;
/* Sound that waits to be separated; with more than this, the device cannot follow. */
const MOST_BEHIND_SECONDS = 6;
/* As in live_processor.js, which waits so long before it plays. */
const MARGIN_SECONDS = 0.25;

/** Separates what a microphone or another tab plays, while it plays. Fires "change". */
export class Live extends EventTarget {
  /**
   * @param {Separator} separator
   * @param {import("./models.js").Models} models
   * @param {import("./queue.js").Queue} queue
   */
  constructor(separator, models, queue) {
    super();
    this.separator = separator;
    this.models = models;
    this.queue = queue;
    /** @type {Session | null} */
    this.session = null;
    this.running = false;
    this.asks = false; // the user, for the sound
    const ways = /** @type {const} */ (["microphone", "tab"]);
    for (const way of ways) {
      const button = find(`#${way}`);
      const lack = lacking(way);
      button.disabled = Boolean(lack);
      button.title = lack;
      button.addEventListener("click", () => this.start(way).catch(notify));
    }
    const lacks = ways.map(lacking).filter(Boolean);
    if (lacks.length === ways.length) find(".ways").textContent = lacks[0];
    find("#stop-live").addEventListener("click", () => this.stop());
  }

  /** @param {"microphone" | "tab"} way */
  async start(way) {
    if (this.running || this.asks) return;
    if (this.queue.working) throw new Error("Live mode waits until all songs are separated.");
    if (!this.models.info) throw new Error("Live mode needs a model.");
    this.asks = true;
    const stream = await listen(way).finally(() => (this.asks = false));
    if (!stream) return;
    this.running = true;
    this.#show(way);
    let session;
    try {
      tell("Measuring how fast this device is…");
      const context = new AudioContext({ latencyHint: "interactive" });
      session = this.session = new Session(this.separator, context, stream);
      session.addEventListener("end", (event) => {
        this.stop();
        const reason = /** @type {CustomEvent} */ (event).detail;
        if (reason) notify(reason);
      });
      await session.start();
      if (!session.stopped) this.#started(way, session);
    } catch (error) {
      if (session?.stopped) return; // its calls come too late, and another may run
      for (const track of stream.getTracks()) track.stop();
      this.stop();
      throw error;
    }
  }

  /**
   * @param {"microphone" | "tab"} way
   * @param {Session} session
   */
  #started(way, session) {
    const late = (session.latencySeconds + MARGIN_SECONDS).toFixed(1);
    let advice = "";
    if (way === "microphone") {
      advice = "Use headphones, or the microphone hears the loudspeakers.";
    } else if (!session.isAlone) {
      advice = "The tab itself sounds, too: mute it there, if its sound stays shared.";
    }
    tell(`You hear it ${late} s later. ${advice}`);
    say("Live mode runs.");
  }

  /** @param {"microphone" | "tab"} way */
  #show(way) {
    find("#live").hidden = false;
    find("#live-title").textContent = way === "microphone" ? "Live: microphone" : "Live: a tab";
    find("#stop-live").focus();
    this.dispatchEvent(new Event("change"));
  }

  stop() {
    this.session?.stop();
    this.session = null;
    this.running = false;
    find("#live").hidden = true;
    find("#live-lanes").replaceChildren();
    this.dispatchEvent(new Event("change"));
    find("#microphone").focus();
  }
}

/** @param {string} text */
function tell(text) {
  find("#live-state").textContent = text;
}

/**
 * Says what the browser lacks for a way to listen, as one line; empty where it has all.
 *
 * @param {"microphone" | "tab"} way
 */
function lacking(way) {
  if (typeof AudioWorkletNode === "undefined") {
    return "Live mode needs a browser with AudioWorklet.";
  }
  const devices = navigator.mediaDevices;
  if (way === "microphone" && !devices?.getUserMedia) {
    return "This browser lets no page use the microphone.";
  }
  if (way === "tab" && !devices?.getDisplayMedia) {
    return "This browser cannot share a tab’s sound.";
  }
  return "";
}

/**
 * Asks for the sound. Gives null where the user says no.
 *
 * @param {"microphone" | "tab"} way
 * @returns {Promise<MediaStream | null>}
 */
async function listen(way) {
  // A browser's processing is made for speech, and spoils music.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const tab = { ...audio, suppressLocalAudioPlayback: true }; // one hears the stems only
  let stream;
  try {
    stream =
      way === "microphone"
        ? await navigator.mediaDevices.getUserMedia({ audio: { ...audio, channelCount: 2 } })
        : await navigator.mediaDevices.getDisplayMedia({ audio: tab, video: true });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotFoundError") throw new Error("There is no microphone.", { cause: error });
    if (name === "NotAllowedError" && way === "tab") return null; // the user closed the dialog
    if (name === "NotAllowedError") {
      throw new Error("The browser does not let this page use the microphone.", { cause: error });
    }
    throw error;
  }
  for (const track of stream.getVideoTracks()) {
    track.stop(); // only the sound is wanted
    stream.removeTrack(track);
  }
  if (!stream.getAudioTracks().length) {
    throw new Error("No sound was shared: choose a tab, and “Also share tab audio”.");
  }
  return stream;
}

/** One run of live mode. Fires "end" with a reason, or none, as its detail. */
class Session extends EventTarget {
  /**
   * @param {Separator} separator
   * @param {AudioContext} context
   * @param {MediaStream} stream
   */
  constructor(separator, context, stream) {
    super();
    this.separator = separator;
    this.context = context;
    this.stream = stream;
    this.stopped = false;
    this.latencySeconds = 0;
    this.pending = 0; // frames that wait to be separated
    /** @type {{lane: Lane, ear: AnalyserNode}[]} */
    this.meters = [];
    for (const track of stream.getAudioTracks()) {
      track.addEventListener("ended", () => this.#end("The sound has ended."));
    }
  }

  /** Whether the browser silences the tab that it shares. */
  get isAlone() {
    const [track] = this.stream.getAudioTracks();
    /** @type {MediaTrackSettings & {suppressLocalAudioPlayback?: boolean}} */
    const settings = track.getSettings();
    return settings.suppressLocalAudioPlayback === true;
  }

  async start() {
    await this.context.audioWorklet.addModule("live-processor.js");
    const speed = await this.#measure();
    if (this.stopped) return;
    if (speed < LEAST_SPEED) {
      const found = speed.toFixed(1);
      throw new Error(
        `This device separates ${found} s of sound in a second; live mode needs ${LEAST_SPEED}. ` +
          "A smaller model may do.",
      );
    }
    const { sources, channels, latencySeconds } = await this.separator.liveStart(
      this.context.sampleRate,
      2,
    );
    this.latencySeconds = latencySeconds;
    this.channels = channels;
    if (this.stopped) return;
    this.node = new AudioWorkletNode(this.context, "live", {
      numberOfOutputs: sources.length,
      outputChannelCount: sources.map(() => 2),
      processorOptions: { channels: 2, stems: sources.length },
    });
    this.node.port.onmessage = ({ data }) => this.#push(data);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    this.#addLanes(sources, this.node);
    await beginSound(this.context);
  }

  /** Returns the seconds of sound that are separated in a second. */
  async #measure() {
    const rate = this.context.sampleRate;
    await this.separator.liveStart(rate, 2);
    const samples = Float32Array.from({ length: rate }, () => 0.1 * (Math.random() - 0.5));
    const push = async (/** @type {number} */ seconds) => {
      for (let half = 0; half < 2 * seconds; half++) await this.separator.livePush(samples.slice());
    };
    await push(TRIAL_SECONDS / 2); // the first steps are slow
    const begin = performance.now();
    await push(TRIAL_SECONDS);
    return (1000 * TRIAL_SECONDS) / (performance.now() - begin);
  }

  /**
   * @param {string[]} sources
   * @param {AudioWorkletNode} node
   */
  #addLanes(sources, node) {
    const shade = shadeOf(sources);
    const lanes = sources.map((name, index) => {
      const channel = new Channel({ read: async () => [] });
      channel.connect(this.context, this.context.destination);
      const ear = this.context.createAnalyser();
      ear.fftSize = 2048;
      node.connect(/** @type {GainNode} */ (channel.node), index).connect(ear);
      const lane = new Lane({ title: titled(name), shade: shade(name) }, index, channel);
      find(".pictures", lane.row).replaceChildren(
        fromHtml('<div class="meter" aria-hidden="true"><i></i></div>'),
      );
      this.meters.push({ lane, ear });
      return lane;
    });
    mixLanes(lanes, () => false);
    find("#live-lanes").replaceChildren(...lanes.map((lane) => lane.row));
    this.#follow();
  }

  /** Moves the meters, once a frame of the screen. */
  #follow() {
    if (this.stopped) return;
    for (const { lane, ear } of this.meters) {
      const samples = new Float32Array(ear.fftSize);
      ear.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      const level = Math.max(0, 1 + Math.log10(power + 1e-12) / 5); // from −50 dB to full scale
      lane.row.style.setProperty("--level", level.toFixed(3));
    }
    requestAnimationFrame(() => this.#follow());
  }

  /** @param {Float32Array} samples */
  async #push(samples) {
    const frames = samples.length / 2;
    this.pending += frames;
    if (this.pending > MOST_BEHIND_SECONDS * this.context.sampleRate) {
      this.#end("This device is too slow for live mode with this model.");
      return;
    }
    try {
      const { stems } = await this.separator.livePush(samples);
      this.pending -= frames;
      if (!this.stopped && stems[0]?.length) {
        const buffers = stems.map((stem) => stem.buffer);
        this.node?.port.postMessage({ stems, channels: this.channels }, buffers);
      }
    } catch (error) {
      if (!isAbort(error)) this.#end(error);
    }
  }

  /** @param {unknown} reason */
  #end(reason) {
    if (this.stopped) return;
    this.dispatchEvent(new CustomEvent("end", { detail: reason }));
  }

  stop() {
    if (this.stopped) return;
    this.stopped = true;
    for (const track of this.stream.getTracks()) track.stop();
    if (this.node) this.node.port.onmessage = null;
    this.context.close();
    this.separator.liveFinish().catch(() => {}); // it may not have started
  }
}
