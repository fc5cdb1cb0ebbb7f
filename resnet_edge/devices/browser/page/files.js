/** Fetches what the jobs need as blobs: the browser keeps them out of the script's memory. */

import { Stopped } from "./host.js";
import { bytesInWords } from "./words.js";

const TRIES = 5;

/**
 * @typedef {object} Surroundings
 * @property {AbortSignal} [signal] Ends it with `Stopped`.
 * @property {typeof globalThis.fetch} [fetch]
 * @property {(seconds: number) => Promise<void>} [sleep]
 */

/**
 * Fetch a file; the browser's cache answers where it has it, because the address has its hash.
 *
 * @param {string} address
 * @param {number} bytes Expected.
 * @param {(done: number) => void} progress Told the bytes so far.
 * @param {Surroundings} surroundings
 * @returns {Promise<Blob>}
 */
export async function fetchFile(address, bytes, progress, surroundings = {}) {
  const { signal } = surroundings;
  const fetch = surroundings.fetch ?? globalThis.fetch;
  const sleep =
    surroundings.sleep ?? ((seconds) => new Promise((go) => setTimeout(go, seconds * 1000)));
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(fetch, address, bytes, progress, signal);
    } catch (problem) {
      if (signal?.aborted) throw new Stopped();
      const { message } = /** @type {Error} */ (problem);
      if (attempt === TRIES) {
        throw new Error(`${nameOf(address)} could not be fetched: ${message}`, { cause: problem });
      }
    }
    await sleep(2 ** (attempt - 1));
  }
}

/**
 * @param {typeof globalThis.fetch} fetch
 * @param {string} address
 * @param {number} bytes
 * @param {(done: number) => void} progress
 * @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
async function fetchOnce(fetch, address, bytes, progress, signal) {
  const response = await fetch(address, { signal });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({}));
    throw new Error(error ?? `the host answered with status ${response.status}`);
  }
  const counted = response.body?.pipeThrough(counting(progress));
  const blob = await (counted ? new Response(counted) : response).blob();
  if (blob.size !== bytes) {
    throw new Error(`${bytesInWords(blob.size)} came, ${bytesInWords(bytes)} were expected`);
  }
  return blob;
}

/**
 * @param {(done: number) => void} progress
 * @returns {TransformStream<Uint8Array, Uint8Array>}
 */
function counting(progress) {
  let done = 0;
  return new TransformStream({
    transform(chunk, controller) {
      done += chunk.byteLength;
      progress(done);
      controller.enqueue(chunk);
    },
  });
}

/** @param {string} address */
function nameOf(address) {
  return address.replace(/\?.*/, "").replace(/^.*\//, "");
}
