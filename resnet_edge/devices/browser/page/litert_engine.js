/** One .tflite file in LiteRT.js. */

import { chooseBuild } from "./litert_builds.js";
import { wasmFeatures } from "./wasm_features.js";

const FOLDER = "../runtimes/litert/";

/**
 * @typedef {object} LiteRtModule What is used of `@litertjs/core`, as `make web` copies it.
 * @property {string} version
 * @property {(path: string) => Promise<unknown>} loadLiteRt
 * @property {(bytes: Uint8Array, options: object) => Promise<CompiledModel>} loadAndCompile
 * @property {{fromTypedArray: (data: Float32Array | Uint8Array, shape: number[]) => Tensor}} Tensor
 */

/**
 * @typedef {object} CompiledModel
 * @property {(input: Tensor) => Promise<Tensor[]>} run
 * @property {boolean} isFullyAccelerated
 * @property {{accelerator: string, cpuOptions: {numThreads: number}}} options Filled in by LiteRT.js;
 *     not in its types, but the only place that tells of its silent fallback.
 */

/** @typedef {{data: () => Promise<Float32Array | Uint8Array>, delete: () => void}} Tensor */

/**
 * @param {import("./answering.js").Work} work
 * @param {import("./hooks.js").Hooks} hooks
 * @param {any} scope The worker's global scope.
 * @returns {Promise<import("./answering.js").Engine>}
 */
export async function openLiteRt(work, hooks, scope) {
  const { job } = work;
  const onGpu = job.backend === "litert-webgpu";
  const folder = new URL(FOLDER, scope.location.href);
  const build = chooseBuild(onGpu, job.threads, wasmFeatures(scope));
  const script = new URL(`litert_wasm${build.suffix}_internal.js`, folder).href;
  // Its own search starts at the worker's address, not at the build's.
  scope.Module = {
    locateFile: (/** @type {string} */ name) => new URL(name, folder).href,
    mainScriptUrlOrBlob: script,
  };
  if (build.threads > 1) poolSize(scope, build.threads);
  /** @type {LiteRtModule} */
  const litert = await import(new URL("litert.js", folder).href);
  await litert.loadLiteRt(script);
  // Each start warns of the GPU and the NPU that are not there; on wasm nobody asked for them.
  if (!onGpu) hooks.forgetWarnings();
  const bytes = new Uint8Array(await work.artifact.arrayBuffer());
  const model = await litert.loadAndCompile(bytes, {
    accelerator: onGpu ? "webgpu" : "wasm",
    cpuOptions: { numThreads: build.threads },
  });
  const shape = [1, work.height, work.width, 3];
  return {
    run: (input) => ask(model, litert.Tensor.fromTypedArray(input, shape)),
    receipt: () => {
      const ranOnGpu = model.options.accelerator === "webgpu";
      return {
        runtime_version: litert.version,
        threads: ranOnGpu ? 1 : 1 + hooks.threadsStarted(),
        provider: ranOnGpu ? "WebGPU" : "wasm",
        // After the fallback the new model, on wasm, calls itself fully accelerated. On wasm it tells
        // of XNNPACK.
        fully_accelerated: ranOnGpu === onGpu && model.isFullyAccelerated,
      };
    },
  };
}

/**
 * @param {CompiledModel} model
 * @param {Tensor} tensor Freed here.
 * @returns {Promise<Float32Array | Uint8Array>}
 */
async function ask(model, tensor) {
  const outputs = await model.run(tensor);
  try {
    return await outputs[0].data();
  } finally {
    tensor.delete();
    for (const output of outputs) output.delete();
  }
}

/**
 * The threaded build starts one worker for each core that the browser claims, and waits for all.
 * Some claim more than there are; only the threads that were asked for are needed.
 *
 * @param {any} scope
 * @param {number} threads
 */
function poolSize(scope, threads) {
  Object.defineProperty(scope.navigator, "hardwareConcurrency", {
    value: threads,
    configurable: true,
  });
}
