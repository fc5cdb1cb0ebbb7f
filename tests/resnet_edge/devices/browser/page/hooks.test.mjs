import assert from "node:assert/strict";
import test from "node:test";

import {
  asLine,
  installHooks,
  startsThread,
} from "../../../../../resnet_edge/devices/browser/page/hooks.js";
import { Placement } from "../../../../../resnet_edge/devices/browser/page/ort_placement.js";
import { reasonOf } from "../../../../../resnet_edge/devices/browser/page/reasons.js";

function scope(changes = {}) {
  const written = [];
  const write = (...parts) => written.push(parts);
  return {
    written,
    console: { log: write, info: write, debug: write, warn: write, error: write },
    WebAssembly: {
      Memory: WebAssembly.Memory,
      instantiate: WebAssembly.instantiate.bind(WebAssembly),
    },
    ...changes,
  };
}

test("warnings and errors are kept, and written as before", () => {
  const watched = scope();
  const hooks = installHooks(watched);
  watched.console.log("loaded");
  watched.console.warn("%c[LiteRT]%c Falling back to WASM", "color: red", "color: blue");
  watched.console.error("aborted", 7);
  assert.deepEqual(hooks.warnings(), ["[LiteRT] Falling back to WASM", "aborted 7"]);
  assert.equal(watched.written.length, 3);
  hooks.forgetWarnings();
  assert.deepEqual(hooks.warnings(), []);
});

test("twenty lines of 300 characters are kept", () => {
  const watched = scope();
  const hooks = installHooks(watched);
  for (let i = 0; i < 30; i++) watched.console.warn(String(i).padEnd(1000, "x"));
  assert.equal(hooks.warnings().length, 20);
  assert.equal(hooks.warnings()[0].length, 300);
});

test("a runtime's log is heard, and neither kept nor written", () => {
  const watched = scope();
  const hooks = installHooks(watched);
  const heard = [];
  hooks.onLine((line) => heard.push(line));
  watched.console.error(
    "\u001b[0;37m2026 [V:onnxruntime:, session_state.cc:1 Verify] All nodes placed\u001b[m",
  );
  watched.console.error("INFO: [environment.cc:36] Creating LiteRT environment with options");
  watched.console.error(
    "\u001b[0;93m2026 [W:onnxruntime:, session_state.cc:2 Verify] Some nodes\u001b[m",
  );
  assert.equal(heard.length, 3);
  assert.deepEqual(hooks.warnings(), [
    "2026 [W:onnxruntime:, session_state.cc:2 Verify] Some nodes",
  ]);
  assert.equal(watched.written.length, 1);
});

test("a line is made of all parts", () => {
  assert.equal(asLine([new Error("no"), 3, null]), "Error: no 3 null");
  assert.equal(asLine([]), "");
});

test("memories are counted, made by scripts or exported by programs", async () => {
  const watched = scope();
  const hooks = installHooks(watched);
  assert.equal(hooks.memoryBytes(), null);
  const memory = new watched.WebAssembly.Memory({ initial: 2 });
  assert.ok(memory instanceof WebAssembly.Memory);
  assert.equal(hooks.memoryBytes(), 2 * 65536);
  memory.grow(1);
  assert.equal(hooks.memoryBytes(), 3 * 65536);
  // (module (memory (export "m") 1))
  const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 109, 2, 0];
  await watched.WebAssembly.instantiate(new Uint8Array(bytes));
  assert.equal(hooks.memoryBytes(), 4 * 65536);
});

test("threads are counted by the messages that start them", () => {
  const sent = [];
  class Worker {
    postMessage(...all) {
      sent.push(all);
    }
  }
  const hooks = installHooks(scope({ Worker }));
  const worker = new Worker();
  worker.postMessage({ cmd: 1, handlers: [], wasmMemory: {}, wasmModule: {} });
  worker.postMessage({ cmd: 2, start_routine: 5, arg: 6, pthread_ptr: 7 }, []);
  worker.postMessage({ Rb: "load", ac: [], fc: {}, hc: {} });
  worker.postMessage({ Rb: "run", dc: 1, Vb: 2, Qb: 3 });
  worker.postMessage({ Ub: 3, Rb: "checkMailbox" });
  assert.equal(hooks.threadsStarted(), 2);
  assert.equal(sent.length, 5);
  assert.equal(sent[1].length, 2);
});

test("other messages start no thread", () => {
  for (const message of [null, 5, "run", {}, { cmd: 2 }, { cmd: "run" }]) {
    assert.equal(startsThread(message), false);
  }
});

test("a GPU that is lost, or refuses a program, is told", async () => {
  let lose;
  const device = Object.assign(new EventTarget(), { lost: new Promise((go) => (lose = go)) });
  class GPUAdapter {
    async requestDevice() {
      return device;
    }
  }
  const hooks = installHooks(scope({ GPUAdapter }));
  const told = [];
  hooks.onGpuProblem((reason) => told.push(reason));
  assert.equal(await new GPUAdapter().requestDevice(), device);
  device.dispatchEvent(
    Object.assign(new Event("uncapturederror"), { error: { message: "invalid WGSL" } }),
  );
  lose({ message: "", reason: "unknown" });
  await new Promise((go) => setImmediate(go));
  assert.deepEqual(told, [
    "the GPU refuses the runtime's program: invalid WGSL",
    "the GPU was lost: unknown",
  ]);
});

test("a runtime that ends its own GPU device says why itself", async () => {
  const lost = Promise.resolve({ message: "Device was destroyed.", reason: "destroyed" });
  class GPUAdapter {
    async requestDevice() {
      return Object.assign(new EventTarget(), { lost });
    }
  }
  const hooks = installHooks(scope({ GPUAdapter }));
  const told = [];
  hooks.onGpuProblem((reason) => told.push(reason));
  await new GPUAdapter().requestDevice();
  await new Promise((go) => setImmediate(go));
  assert.deepEqual(told, []);
});

// -- onnxruntime's placement

test("all nodes on one provider", () => {
  const placement = new Placement();
  assert.equal(placement.onlyOn("WebGpuExecutionProvider"), null);
  placement.read("[V:onnxruntime:, x] Node placements");
  assert.equal(placement.onlyOn("WebGpuExecutionProvider"), null);
  placement.read(
    "[V:onnxruntime:, x]  All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 123",
  );
  assert.equal(placement.onlyOn("WebGpuExecutionProvider"), true);
  assert.equal(placement.onlyOn("CPUExecutionProvider"), false);
});

test("nodes on two providers", () => {
  const placement = new Placement();
  placement.read(
    "[V:onnxruntime:, x]  Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: 120",
  );
  placement.read(
    "[V:onnxruntime:, x]  Node(s) placed on [CPUExecutionProvider]. Number of nodes: 4",
  );
  assert.equal(placement.onlyOn("WebGpuExecutionProvider"), false);
  assert.equal(placement.nodes.get("CPUExecutionProvider"), 4);
});

// -- Reasons

for (const [problem, warnings, reason] of [
  [new Error("no kernel\n for   INT16"), [], "no kernel for INT16"],
  [new TypeError("x is undefined"), [], "TypeError: x is undefined"],
  ["plain text", [], "plain text"],
  [12345, ["no kernel"], "the runtime gave up (12345); it wrote before: no kernel"],
  [undefined, [], "the runtime gave up (undefined)"],
  [
    new RangeError("WebAssembly.Memory(): could not allocate memory"),
    [],
    "out of memory: RangeError: WebAssembly.Memory(): could not allocate memory",
  ],
  [
    new Error("Aborted()."),
    ["Check failed: INT16"],
    "Aborted().; it wrote before: Check failed: INT16",
  ],
  [
    new Error("ERROR: [a/litert_web.cc:245]\n└ ERROR: [./b/compiled_model.h:70]"),
    [
      "Created a device",
      "E1127 delegate.cc:373] INVALID_ARGUMENT: Shape mismatch\n=== Trace: ===\nx",
      "ERROR: Restored the plan after failure",
    ],
    "the runtime refuses the file; it wrote before: E1127 delegate.cc:373] INVALID_ARGUMENT: Shape mismatch",
  ],
]) {
  test(`the reason of ${String(problem)}`, () => assert.equal(reasonOf(problem, warnings), reason));
}

test("a reason is one short line", () => {
  assert.equal(reasonOf(new Error("x".repeat(1000))).length, 300);
});
