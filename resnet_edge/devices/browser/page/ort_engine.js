/** One .onnx file in onnxruntime-web. */

import { Placement } from "./ort_placement.js";
import { reasonOf } from "./reasons.js";

const FOLDER = "../runtimes/ort/";

/** onnxruntime's levels of its log. */
const VERBOSE = /** @type {const} */ (0);
const ERROR = /** @type {const} */ (3);

/**
 * @param {import("./answering.js").Work} work
 * @param {import("./hooks.js").Hooks} hooks
 * @param {any} scope The worker's global scope.
 * @returns {Promise<import("./answering.js").Engine>}
 */
export async function openOrt(work, hooks, scope) {
  const { job } = work;
  const onGpu = job.backend === "ort-webgpu";
  const folder = new URL(FOLDER, scope.location.href);
  scope.importScripts(new URL(onGpu ? "ort.webgpu.min.js" : "ort.wasm.min.js", folder).href);
  const { ort } = /** @type {{ort: typeof import("onnxruntime-web")}} */ (scope);
  ort.env.wasm.wasmPaths = folder.href;
  ort.env.wasm.numThreads = job.threads;
  ort.env.wasm.proxy = false;
  const placement = new Placement();
  if (onGpu) {
    // Only the session's log tells which nodes the GPU left to the CPU; the other log has its shaders.
    hooks.onLine((line) => placement.read(line));
  }
  const session = await open(ort, new Uint8Array(await work.artifact.arrayBuffer()), {
    executionProviders: [onGpu ? "webgpu" : "wasm"],
    logSeverityLevel: onGpu ? VERBOSE : ERROR,
  });
  const dims = [1, work.height, work.width, 3];
  const name = session.inputNames[0];
  const options = { logSeverityLevel: ERROR };
  return {
    run: async (input) => {
      const type = input instanceof Uint8Array ? "uint8" : "float32";
      const tensor = new ort.Tensor(
        /** @type {"float32"} */ (type),
        /** @type {Float32Array} */ (input),
        dims,
      );
      return ask(session, { [name]: tensor }, options);
    },
    receipt: () => ({
      runtime_version: ort.env.versions.web ?? ort.env.versions.common,
      threads: onGpu ? 1 : (ort.env.wasm.numThreads ?? 1),
      provider: onGpu ? "WebGPU" : "wasm",
      fully_accelerated: onGpu ? placement.onlyOn("WebGpuExecutionProvider") : null,
    }),
  };
}

/**
 * Load a file with all optimizations, as onnxruntime does in Python. onnxruntime-web 1.30 breaks some
 * graphs with integer depthwise convolutions while it optimizes them; such a file is loaded with the
 * basic ones, and a warning says so.
 *
 * @param {typeof import("onnxruntime-web")} ort
 * @param {Uint8Array} bytes
 * @param {import("onnxruntime-web").InferenceSession.SessionOptions} options
 * @returns {Promise<import("onnxruntime-web").InferenceSession>}
 */
async function open(ort, bytes, options) {
  const load = (/** @type {"all" | "basic"} */ graphOptimizationLevel) =>
    ort.InferenceSession.create(bytes, { ...options, graphOptimizationLevel });
  try {
    return await load("all");
  } catch (refusal) {
    const session = await load("basic").catch(() => {
      throw refusal;
    });
    console.warn(`loaded with basic optimizations; with all of them: ${reasonOf(refusal)}`);
    return session;
  }
}

/**
 * @param {import("onnxruntime-web").InferenceSession} session
 * @param {Record<string, import("onnxruntime-web").Tensor>} feeds
 * @param {import("onnxruntime-web").InferenceSession.RunOptions} options
 * @returns {Promise<Float32Array | Uint8Array>}
 */
async function ask(session, feeds, options) {
  const outputs = await session.run(feeds, options);
  const output = outputs[session.outputNames[0]];
  const data = await output.getData();
  output.dispose();
  return /** @type {Float32Array | Uint8Array} */ (data);
}
