/**
 * What a worker does with one job: load the file, answer the pictures, time single queries.
 *
 * It knows no runtime; a worker hands in an `Engine`. All that it tells the page goes through `tell`.
 */

import { toBase64 } from "./base64.js";
import { measure, untimed } from "./measure.js";

/**
 * @typedef {object} Engine One artifact, loaded and ready.
 * @property {(input: Float32Array | Uint8Array) => Promise<Float32Array | Uint8Array>} run One query:
 *     the input is copied in, the answer read back to the CPU.
 * @property {() => Receipt} receipt What really ran, read back from the runtime.
 */

/**
 * @typedef {object} Receipt
 * @property {string} runtime_version
 * @property {number} threads As read back, not as asked for.
 * @property {string} provider What ran it: "wasm" or "WebGPU".
 * @property {boolean | null} fully_accelerated Null where it cannot be told.
 */

/**
 * @typedef {object} Work What the page hands to a worker.
 * @property {import("./host.js").Job} job
 * @property {Blob} artifact
 * @property {"float32" | "uint8"} inputType
 * @property {Blob} pictures Raw RGB, uint8, one picture after another.
 * @property {number} count
 * @property {number} height
 * @property {number} width
 * @property {number} classes
 * @property {import("./measure.js").Spec} spec
 * @property {number} clockStep Seconds.
 */

/** @typedef {"load" | "answers" | "latency"} Stage */

/**
 * @typedef {{kind: "stage", stage: Stage}
 *   | {kind: "progress", done: number, of: number}
 *   | {kind: "done", row: Measured}
 *   | {kind: "failed", reason: string}} Told What a worker tells the page.
 */

/**
 * @typedef {object} Answers
 * @property {"float32" | "uint8"} dtype
 * @property {number} count
 * @property {number} classes
 * @property {string} data Base64 of little-endian bytes.
 */

/**
 * @typedef {Receipt & Omit<import("./measure.js").Timing, never> & {
 *   answers: Answers | null, load_s: number, first_s: number, clock_step_s: number,
 *   warnings: string[], wasm_memory_bytes: number | null}} Measured
 */

/** Pictures read from the blob at a time. */
const CHUNK = 32;
/** Milliseconds between two words of progress. */
const QUIET_MS = 200;

/**
 * Do a job.
 *
 * @param {Work} work
 * @param {(work: Work) => Promise<Engine>} open Loads the artifact.
 * @param {import("./hooks.js").Hooks} hooks What was seen of the runtime from outside.
 * @param {(told: Told) => void} tell
 * @param {() => number} clock Milliseconds.
 * @returns {Promise<Measured>}
 */
export async function answer(work, open, hooks, tell, clock) {
  tell({ kind: "stage", stage: "load" });
  const [first] = await inputs(work, 0, 1);
  const start = clock();
  const engine = await open(work);
  const loaded = clock();
  const stage = work.job.answers ? "answers" : "latency";
  tell({ kind: "stage", stage });
  const asked = clock();
  checkAnswer(await engine.run(first), work.classes);
  const first_s = (clock() - asked) / 1000;
  const answers = work.job.answers ? await answerAll(work, engine, tell, clock) : null;
  const timing = await time(work, () => engine.run(first), tell, clock);
  return {
    ...timing,
    ...engine.receipt(),
    answers,
    load_s: (loaded - start) / 1000,
    first_s,
    clock_step_s: work.clockStep,
    warnings: hooks.warnings(),
    wasm_memory_bytes: hooks.memoryBytes(),
  };
}

/**
 * @param {Work} work
 * @param {() => Promise<unknown>} query
 * @param {(told: Told) => void} tell
 * @param {() => number} clock
 * @returns {Promise<import("./measure.js").Timing>}
 */
async function time({ job, spec, clockStep }, query, tell, clock) {
  if (job.not_timed) return untimed(job.not_timed);
  if (job.answers) tell({ kind: "stage", stage: "latency" });
  const progress = throttled(tell, clock);
  const { min_seconds } = spec;
  return measure(query, spec, clock, clockStep, (s) =>
    progress(Math.min(s, min_seconds), min_seconds),
  );
}

/**
 * @param {Work} work
 * @param {Engine} engine
 * @param {(told: Told) => void} tell
 * @param {() => number} clock
 * @returns {Promise<Answers>}
 */
async function answerAll(work, engine, tell, clock) {
  const { count, classes } = work;
  const progress = throttled(tell, clock);
  /** @type {Float32Array | Uint8Array | null} */
  let all = null;
  for (let from = 0; from < count; from += CHUNK) {
    const pictures = await inputs(work, from, Math.min(count, from + CHUNK));
    for (let i = 0; i < pictures.length; i++) {
      const answer = await engine.run(pictures[i]);
      checkAnswer(answer, classes);
      all ??=
        answer instanceof Uint8Array
          ? new Uint8Array(count * classes)
          : new Float32Array(count * classes);
      all.set(answer, (from + i) * classes);
      progress(from + i + 1, count);
    }
  }
  const values = all ?? new Float32Array(0);
  const dtype = values instanceof Uint8Array ? "uint8" : "float32";
  return { dtype, count, classes, data: toBase64(values) };
}

/**
 * @param {Float32Array | Uint8Array} answer
 * @param {number} classes
 */
function checkAnswer(answer, classes) {
  if (!(answer instanceof Float32Array || answer instanceof Uint8Array)) {
    throw new Error(
      `the runtime answered with ${Object.prototype.toString.call(answer)}; expected float32 or uint8`,
    );
  }
  if (answer.length !== classes) {
    throw new Error(
      `the runtime answered with ${answer.length} values; expected ${classes}, one for each class`,
    );
  }
}

/**
 * @param {Work} work
 * @param {number} from
 * @param {number} to
 * @returns {Promise<(Float32Array | Uint8Array)[]>} Pictures in the artifact's type, values 0 to 255.
 */
async function inputs(work, from, to) {
  const size = work.height * work.width * 3;
  const bytes = new Uint8Array(await work.pictures.slice(from * size, to * size).arrayBuffer());
  if (bytes.length !== (to - from) * size) {
    throw new Error(
      `the pictures end at ${from * size + bytes.length} bytes; expected ${to * size}`,
    );
  }
  return Array.from({ length: to - from }, (_, i) => {
    const picture = bytes.subarray(i * size, (i + 1) * size);
    return work.inputType === "uint8" ? picture : Float32Array.from(picture);
  });
}

/**
 * @param {(told: Told) => void} tell
 * @param {() => number} clock
 * @returns {(done: number, of: number) => void} Tells at most every `QUIET_MS`, and the end.
 */
function throttled(tell, clock) {
  let last = -Infinity;
  return (done, of) => {
    const now = clock();
    if (done < of && now - last < QUIET_MS) return;
    last = now;
    tell({ kind: "progress", done, of });
  };
}
