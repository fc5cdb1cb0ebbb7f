/** What this browser's WebAssembly can do, by validating the smallest program that needs it. */

/**
 * @typedef {object} WasmFeatures
 * @property {boolean} simd
 * @property {boolean} relaxed_simd
 * @property {boolean} jspi Promises that WebAssembly waits for.
 * @property {boolean} shared_memory Needed for threads; only in isolated pages.
 */

/** () -> v128: i32.const 0, i8x16.splat, i8x16.popcnt. */
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
];
/** () -> v128: two splats, i8x16.relaxed_swizzle. */
const RELAXED_SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15,
  65, 2, 253, 15, 253, 128, 2, 11,
];

/**
 * @param {any} scope A global scope.
 * @returns {WasmFeatures}
 */
export function wasmFeatures(scope) {
  const wasm = scope.WebAssembly;
  const validates = (/** @type {number[]} */ bytes) =>
    typeof wasm === "object" && wasm.validate(new Uint8Array(bytes));
  return {
    simd: validates(SIMD),
    relaxed_simd: validates(RELAXED_SIMD),
    jspi: typeof wasm === "object" && "Suspending" in wasm,
    shared_memory: sharesMemory(scope),
  };
}

/** @param {any} scope */
function sharesMemory(scope) {
  try {
    const buffer = new scope.SharedArrayBuffer(1);
    // Some browsers have it and refuse to send it: that is what threads need.
    new scope.MessageChannel().port1.postMessage(buffer);
    return true;
  } catch {
    return false;
  }
}
