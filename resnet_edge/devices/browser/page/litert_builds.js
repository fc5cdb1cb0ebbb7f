/** Which of LiteRT.js' builds runs a job here: those that it would load by itself. */

/**
 * @typedef {object} Build
 * @property {"_compat" | "" | "_threaded" | "_jspi"} suffix In its file's name.
 * @property {number} threads
 */

/**
 * WebGPU wants JSPI: without it a file of which only parts run on the GPU runs on the CPU as a whole.
 * Threads want relaxed SIMD, because there is no other build with them.
 *
 * @param {boolean} onGpu
 * @param {number} threads Asked for.
 * @param {import("./wasm_features.js").WasmFeatures} features
 * @returns {Build}
 */
export function chooseBuild(onGpu, threads, features) {
  if (!features.relaxed_simd) return { suffix: "_compat", threads: 1 };
  if (onGpu) return { suffix: features.jspi ? "_jspi" : "", threads: 1 };
  if (threads > 1 && features.shared_memory) return { suffix: "_threaded", threads };
  return { suffix: "", threads: 1 };
}
