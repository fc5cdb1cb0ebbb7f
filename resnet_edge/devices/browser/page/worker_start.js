/** What both workers have in common: one message with the work comes in, words about it go out. */

import { answer } from "./answering.js";
import { reasonOf } from "./reasons.js";

/** @typedef {import("./answering.js").Work} Work */

/**
 * @typedef {object} WorkerScope What is used of a worker's global scope.
 * @property {(message: object) => void} postMessage
 * @property {(name: string, listener: (event: any) => void) => void} addEventListener
 */

/**
 * Wait for the work, do it, and tell how it went. Nothing is thrown away: what a runtime throws
 * outside of any call is told too, as onnxruntime-web's threads do.
 *
 * @param {WorkerScope} scope
 * @param {import("./hooks.js").Hooks} hooks
 * @param {(work: Work) => Promise<import("./answering.js").Engine>} open Loads an artifact.
 */
export function serve(scope, hooks, open) {
  /** @type {(told: import("./answering.js").Told) => void} */
  const tell = (told) => scope.postMessage(told);
  const fail = (/** @type {unknown} */ problem) =>
    tell({ kind: "failed", reason: reasonOf(problem, hooks.warnings()) });
  hooks.onGpuProblem((reason) => fail(new Error(reason)));
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    fail(event.reason);
  });
  scope.addEventListener("message", (event) => {
    answer(event.data, open, hooks, tell, () => performance.now()).then(
      (row) => tell({ kind: "done", row }),
      fail,
    );
  });
  scope.postMessage({ kind: "ready" });
}
