/** One job in one fresh worker, which is ended afterwards however it went. */

import { Stopped } from "./host.js";
import { reasonOf } from "./reasons.js";

/** Milliseconds that loading and the first answer may take, and that a worker may be silent later. */
export const LOAD_MS = 120_000;
export const SILENT_MS = 60_000;

/** @typedef {import("./answering.js").Stage} Stage */

/** A job that came to nothing. */
export class JobFailed extends Error {
  /**
   * @param {string} reason One line.
   * @param {Stage} stage
   */
  constructor(reason, stage) {
    super(reason);
    this.name = "JobFailed";
    this.stage = stage;
  }
}

/**
 * @typedef {object} WorkerLike What is used of `Worker`.
 * @property {(message: any) => void} postMessage
 * @property {() => void} terminate
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onerror
 * @property {((event: any) => void) | null} onmessageerror
 */

/**
 * @typedef {object} Timers
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @param {() => WorkerLike} makeWorker
 * @param {import("./answering.js").Work} work
 * @param {(stage: Stage, done: number, of: number) => void} progress `of` is 0 where it is not known.
 * @param {AbortSignal} signal Ends it with `Stopped`.
 * @param {Timers} timers
 * @returns {Promise<import("./answering.js").Measured>}
 * @throws {JobFailed}
 * @throws {Stopped}
 */
export async function runJob(makeWorker, work, progress, signal, timers = globalThis) {
  /** @type {Stage} */
  let stage = "load";
  let answered = false;
  /** @type {WorkerLike | null} */
  let worker = null;
  /** @type {any} */
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      const fail = (/** @type {string} */ reason) => reject(new JobFailed(reason, stage));
      const watch = () => {
        timers.clearTimeout(timer);
        const limit = answered ? SILENT_MS : LOAD_MS;
        timer = timers.setTimeout(() => fail(silence(stage, answered, limit)), limit);
      };
      signal.addEventListener("abort", () => reject(new Stopped()), { once: true });
      if (signal.aborted) return void reject(new Stopped());
      watch();
      worker = makeWorker();
      worker.onerror = (event) => {
        event.preventDefault?.();
        fail(
          event.message
            ? reasonOf(event)
            : "the worker's script could not be loaded, or ended by itself",
        );
      };
      worker.onmessageerror = () =>
        fail("a message of the worker could not be read; memory may have run out");
      worker.onmessage = ({ data }) => {
        if (data.kind === "failed") return fail(data.reason);
        if (data.kind === "done") return resolve(data.row);
        if (data.kind === "ready") return worker?.postMessage(work);
        if (data.kind === "stage") stage = data.stage;
        else answered = true;
        progress(stage, data.done ?? 0, data.of ?? 0);
        // Loading as a whole has one limit, so its first words do not wind the clock up again.
        if (stage !== "load") watch();
      };
    });
  } finally {
    timers.clearTimeout(timer);
    /** @type {WorkerLike | null} */ (worker)?.terminate();
  }
}

/**
 * @param {Stage} stage
 * @param {boolean} answered
 * @param {number} limit Milliseconds.
 */
function silence(stage, answered, limit) {
  const seconds = limit / 1000;
  if (stage === "load") return `not loaded after ${seconds} s`;
  return answered ? `no answer for ${seconds} s` : `no first answer after ${seconds} s`;
}
