/** What `export-web` puts into the service worker: file of the site → its hash. */
declare const FILES: Record<string, string>;
// What TypeScript's own list of the browser's names lacks.
declare const sampleRate: number; // of an AudioWorklet
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: unknown): void;
interface Navigator {
  audioSession?: { type: string };
}
