/**
 * Watches a runtime from outside, because none of them tells these things: its warnings, the memory
 * that it holds and the threads that it starts. To be installed before the runtime is loaded.
 */

/** Lines kept, and characters of a line. */
export const MAX_LINES = 20;
export const MAX_CHARACTERS = 300;
/** A terminal's colours; made of text, because a pattern must not hold the escape character. */
const COLOURS = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");

/**
 * @typedef {object} Hooks
 * @property {() => string[]} warnings The first lines of console.warn and console.error.
 * @property {() => void} forgetWarnings Those until now.
 * @property {() => number | null} memoryBytes Of all WebAssembly memories; null where none was seen.
 * @property {() => number} threadsStarted Threads of Emscripten that were started beside the first.
 * @property {(listener: (line: string) => void) => void} onLine Told every line, of any level.
 * @property {(listener: (reason: string) => void) => void} onGpuProblem Told that a GPU is gone, or
 *     refuses what a runtime gives it. The runtimes do not notice: they wait for ever, or answer with
 *     zeros in no time.
 */

/**
 * @typedef {object} Scope The parts of a worker's global scope that are watched.
 * @property {any} console
 * @property {any} WebAssembly
 * @property {any} [Worker]
 * @property {any} [GPUAdapter]
 */

/**
 * @param {Scope} scope
 * @returns {Hooks}
 */
export function installHooks(scope) {
  const { warnings, forgetWarnings, onLine } = watchConsole(scope.console);
  const memoryBytes = watchMemory(scope.WebAssembly);
  const threadsStarted = watchThreads(scope);
  const onGpuProblem = watchDevices(scope.GPUAdapter);
  return { warnings, forgetWarnings, onLine, memoryBytes, threadsStarted, onGpuProblem };
}

/** @param {any} console */
function watchConsole(console) {
  /** @type {string[]} */
  const kept = [];
  /** @type {((line: string) => void)[]} */
  const listeners = [];
  for (const level of ["log", "info", "debug", "warn", "error"]) {
    const original = console[level];
    const keeps = level === "warn" || level === "error";
    console[level] = (/** @type {unknown[]} */ ...parts) => {
      const line = asLine(parts);
      for (const listener of listeners) listener(line);
      if (keeps && kept.length < MAX_LINES && !isVerbose(line)) {
        kept.push(line.slice(0, MAX_CHARACTERS));
      }
      if (!isVerbose(line)) original?.apply(console, parts);
    };
  }
  return {
    warnings: () => [...kept],
    forgetWarnings: () => void kept.splice(0),
    /** @param {(line: string) => void} listener */
    onLine: (listener) => void listeners.push(listener),
  };
}

/**
 * Both runtimes write their log of every level to the console's errors, and LiteRT.js warns each time
 * that it finds no NPU, which it could not use in a browser.
 *
 * @param {string} line For instance "[V:onnxruntime:…]" or "INFO: [environment.cc:36] …".
 */
function isVerbose(line) {
  return /\[[VI]:onnxruntime|^(INFO|VERBOSE): |^WARNING: \[npu_registry/.test(line);
}

/**
 * A line without colours: those of terminals, and those of consoles, whose styles follow as parts.
 *
 * @param {unknown[]} parts
 * @returns {string}
 */
export function asLine(parts) {
  const [first, ...rest] = parts;
  const styles = typeof first === "string" ? (first.match(/%c/g) ?? []).length : 0;
  const shown = styles ? [String(first).replaceAll("%c", ""), ...rest.slice(styles)] : parts;

  return shown.map(String).join(" ").replace(COLOURS, "").trim();
}

/** @param {any} wasm */
function watchMemory(wasm) {
  /** @type {Set<WebAssembly.Memory>} */
  const memories = new Set();
  const Memory = wasm.Memory;
  wasm.Memory = new Proxy(Memory, {
    construct(target, args) {
      const memory = Reflect.construct(target, args);
      memories.add(memory);
      return memory;
    },
  });
  /** @param {WebAssembly.Instance} instance */
  const look = (instance) => {
    for (const value of Object.values(instance.exports)) {
      if (value instanceof Memory) memories.add(/** @type {WebAssembly.Memory} */ (value));
    }
  };
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const original = wasm[name];
    if (typeof original !== "function") continue;
    wasm[name] = async (/** @type {unknown[]} */ ...args) => {
      const made = await original.apply(wasm, args);
      look(made.instance ?? made);
      return made;
    };
  }
  return () => {
    if (memories.size === 0) return null;
    let sum = 0;
    for (const memory of memories) sum += memory.buffer.byteLength;
    return sum;
  };
}

/**
 * Counts the messages by which Emscripten starts a thread in one of its workers.
 *
 * @param {Scope} scope
 */
function watchThreads(scope) {
  let started = 0;
  const original = scope.Worker?.prototype?.postMessage;
  if (original) {
    /** @this {Worker} */
    scope.Worker.prototype.postMessage = function (
      /** @type {any} */ message,
      /** @type {any} */ ...rest
    ) {
      if (startsThread(message)) started += 1;
      return original.call(this, message, ...rest);
    };
  }
  return () => started;
}

/**
 * LiteRT.js sends `{cmd: 2, start_routine, …}`, onnxruntime-web `{…: "run", …}` with minified names;
 * both send three addresses with it.
 *
 * @param {unknown} message
 * @returns {boolean}
 */
export function startsThread(message) {
  if (typeof message !== "object" || message === null) return false;
  const values = Object.values(message);
  const numbers = values.filter((value) => typeof value === "number").length;
  return values.includes("run")
    ? numbers >= 3
    : "cmd" in message && message.cmd === 2 && numbers >= 4;
}

/** @param {any} GPUAdapter */
function watchDevices(GPUAdapter) {
  /** @type {((reason: string) => void)[]} */
  const listeners = [];
  const original = GPUAdapter?.prototype?.requestDevice;
  if (original) {
    /** @this {unknown} */
    GPUAdapter.prototype.requestDevice = async function (/** @type {unknown[]} */ ...args) {
      const device = await original.apply(this, args);
      const tell = (/** @type {string} */ reason) =>
        listeners.forEach((listener) => listener(reason));
      device.lost.then((/** @type {{message: string, reason: string}} */ info) => {
        // A runtime that refuses a file destroys the device itself, and says why.
        if (info.reason !== "destroyed") tell(`the GPU was lost: ${info.message || info.reason}`);
      });
      device.addEventListener(
        "uncapturederror",
        (/** @type {{error: {message: string}}} */ event) =>
          tell(`the GPU refuses the runtime's program: ${event.error.message}`),
      );
      return device;
    };
  }
  return (/** @type {(reason: string) => void} */ listener) => void listeners.push(listener);
}
