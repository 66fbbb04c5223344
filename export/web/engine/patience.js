import { Cancelled } from "./errors.js";

/** Says that a browser's decoder gives no answer. */
export class Stalled extends Error {
  /** @param {number} seconds */
  constructor(seconds) {
    super(`there was no answer for ${seconds} s`);
  }
}

/**
 * Waits for an answer that may never come.
 *
 * @template T
 * @param {Promise<T>} answer
 * @param {number} seconds The most to wait.
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 * @throws {Stalled} It did not come in time.
 * @throws {Cancelled} The signal came first.
 */
export async function inTime(answer, seconds, signal) {
  let timer = 0;
  let cancel = () => {};
  const end = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Stalled(seconds)), 1000 * seconds);
    cancel = () => reject(new Cancelled());
    signal?.addEventListener("abort", cancel);
  });
  try {
    return await Promise.race([answer, end]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
  }
}

/**
 * Gives what a generator gives, as long as the next value comes in time.
 *
 * @template T
 * @param {AsyncGenerator<T, void, unknown>} values
 * @param {number} seconds
 * @returns {AsyncGenerator<T, void, void>}
 * @throws {Stalled} The next value did not come in time.
 */
export async function* eachInTime(values, seconds) {
  try {
    for (;;) {
      const next = await inTime(values.next(), seconds);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    values.return(undefined).catch(() => {}); // it may never end, so that none waits for it
  }
}
