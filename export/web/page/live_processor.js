/**
 * The audio thread's half of live mode: gathers what it hears into blocks, and plays what comes
 * back, each stem at an output of its own.
 */

const BLOCK_FRAMES = 4096;
/* Stems come in bursts of a chunk; what lies ahead covers that one comes late. */
const MARGIN_SECONDS = 0.25;

class LiveProcessor extends AudioWorkletProcessor {
  /** @param {{processorOptions: {channels: number, stems: number}}} options */
  constructor({ processorOptions }) {
    super();
    this.channels = processorOptions.channels;
    this.block = new Float32Array(BLOCK_FRAMES * this.channels);
    this.filled = 0;
    /** Chunks that wait: of each, one interleaved array for each stem. @type {Float32Array[][]} */
    this.queue = [];
    this.read = 0; // frames of the first chunk that were played
    this.waiting = 0; // frames that wait in all chunks
    this.plays = false;
    this.port.onmessage = ({ data }) => {
      this.queue.push(data.stems);
      this.waiting += data.stems[0].length / data.channels;
      this.stemChannels = data.channels;
    };
    this.stemChannels = 1;
  }

  /**
   * @param {Float32Array[][]} inputs
   * @param {Float32Array[][]} outputs
   */
  process([input], outputs) {
    this.#hear(input, outputs[0][0].length);
    this.#play(outputs, outputs[0][0].length);
    return true;
  }

  /**
   * @param {Float32Array[]} planes None where the source gives nothing: silence.
   * @param {number} frames
   */
  #hear(planes, frames) {
    for (let frame = 0; frame < frames; frame++) {
      for (let channel = 0; channel < this.channels; channel++) {
        const plane = planes[Math.min(channel, planes.length - 1)];
        this.block[this.filled++] = plane ? plane[frame] : 0;
      }
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(BLOCK_FRAMES * this.channels);
        this.filled = 0;
      }
    }
  }

  /**
   * @param {Float32Array[][]} outputs
   * @param {number} frames
   */
  #play(outputs, frames) {
    this.plays ||= this.waiting >= MARGIN_SECONDS * sampleRate;
    if (this.waiting < frames) this.plays = false; // silence until there is enough again
    if (!this.plays) return;
    for (let frame = 0; frame < frames; frame++) {
      const chunk = this.queue[0];
      outputs.forEach((planes, stem) =>
        planes.forEach((plane, channel) => {
          const from = Math.min(channel, this.stemChannels - 1);
          plane[frame] = chunk[stem][this.read * this.stemChannels + from];
        }),
      );
      this.read++;
      if (this.read * this.stemChannels >= chunk[0].length) {
        this.queue.shift();
        this.read = 0;
      }
    }
    this.waiting -= frames;
  }
}

registerProcessor("live", LiveProcessor);
