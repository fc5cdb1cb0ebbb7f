import assert from "node:assert/strict";
import test from "node:test";

import { answer } from "../../../../../resnet_edge/devices/browser/page/answering.js";
import { toBase64 } from "../../../../../resnet_edge/devices/browser/page/base64.js";
import { fakeClock, job } from "./stand_ins.mjs";

const HOOKS = { warnings: () => ["slow"], memoryBytes: () => 65536, threadsStarted: () => 1 };
const RECEIPT = { runtime_version: "2.5.3", threads: 2, provider: "wasm", fully_accelerated: null };
const COUNT = 70; // more than one piece of the blob

/** Pictures of 1 x 2 pixels; the first byte of picture i is i. */
function pictures() {
  const bytes = new Uint8Array(COUNT * 6);
  for (let i = 0; i < COUNT; i++) bytes[i * 6] = i;
  return new Blob([bytes]);
}

function work(changes = {}) {
  return {
    job: job(),
    artifact: new Blob(["file"]),
    inputType: "uint8",
    pictures: pictures(),
    count: COUNT,
    height: 1,
    width: 2,
    classes: 2,
    spec: { min_seconds: 0.05, min_queries: 4, max_warmup_s: 1 },
    clockStep: 5e-6,
    ...changes,
  };
}

/** Answers with the picture's first byte and 0.5 in 10 ms; loads in 1 s. */
async function run(changes, answerWith = (input) => new Float32Array([input[0], 0.5])) {
  const clock = fakeClock();
  const told = [];
  const inputs = [];
  const open = async () => {
    clock.ms += 1000;
    return {
      run: async (input) => {
        inputs.push(input);
        clock.ms += 10;
        return answerWith(input);
      },
      receipt: () => RECEIPT,
    };
  };
  const row = await answer(work(changes), open, HOOKS, (message) => told.push(message), clock.read);
  return { row, told, inputs };
}

test("all pictures are answered in order, then the first one is timed", async () => {
  const { row, told, inputs } = await run();
  const { dtype, count, classes, data } = row.answers;
  assert.deepEqual([dtype, count, classes], ["float32", COUNT, 2]);
  const answers = new Float32Array(Uint8Array.from(Buffer.from(data, "base64")).buffer);
  assert.deepEqual([...answers.slice(0, 4)], [0, 0.5, 1, 0.5]);
  assert.equal(answers.at(-2), COUNT - 1);
  assert.deepEqual(
    told.filter(({ kind }) => kind === "stage").map(({ stage }) => stage),
    ["load", "answers", "latency"],
  );
  assert.deepEqual(
    told.find(({ kind, done }) => kind === "progress" && done === COUNT),
    {
      kind: "progress",
      done: COUNT,
      of: COUNT,
    },
  );
  assert.ok(inputs.slice(COUNT + 1).every((input) => input[0] === 0));
});

test("a row has what was read back", async () => {
  const { row } = await run();
  assert.equal(row.load_s, 1);
  assert.equal(row.first_s, 0.01);
  assert.equal(row.warmup, 10);
  assert.equal(row.samples_s.length, 5);
  assert.equal(row.clock_step_s, 5e-6);
  assert.deepEqual(row.warnings, ["slow"]);
  assert.equal(row.wasm_memory_bytes, 65536);
  assert.equal(row.threads, 2);
});

test("without answers only the first picture is asked", async () => {
  const { row, told, inputs } = await run({ job: job({ answers: false }) });
  assert.equal(row.answers, null);
  assert.deepEqual(
    told.filter(({ kind }) => kind === "stage").map(({ stage }) => stage),
    ["load", "latency"],
  );
  assert.equal(inputs.length, 1 + 10 + 5);
});

test("a job whose latency would say nothing is answered and not timed", async () => {
  const { row, told, inputs } = await run({
    job: job({ not_timed: "the processor plays the GPU" }),
  });
  assert.equal(row.latency_note, "the processor plays the GPU");
  assert.deepEqual(row.samples_s, []);
  assert.equal(row.answers.count, COUNT);
  assert.equal(inputs.length, 1 + COUNT);
  assert.ok(!told.some(({ stage }) => stage === "latency"));
});

test("a file with float32 input gets the same values as numbers", async () => {
  const { inputs } = await run({ inputType: "float32" });
  assert.ok(inputs[0] instanceof Float32Array);
  assert.equal(inputs[5][0], 4);
});

test("integer answers are sent as they are", async () => {
  const { row } = await run({}, (input) => new Uint8Array([input[0], 255]));
  assert.equal(row.answers.dtype, "uint8");
  assert.deepEqual([...Buffer.from(row.answers.data, "base64").subarray(0, 4)], [0, 255, 1, 255]);
});

test("answers of another number or type are refused", async () => {
  await assert.rejects(
    run({}, () => new Float32Array(3)),
    /answered with 3 values; expected 2, one for each class$/,
  );
  await assert.rejects(
    run({}, () => new BigInt64Array(2)),
    /answered with \[object BigInt64Array\]; expected float32/,
  );
});

test("pictures that end too early are refused", async () => {
  await assert.rejects(
    run({ count: COUNT + 1 }),
    /^Error: the pictures end at 420 bytes; expected 426$/,
  );
});

test("base64 of much and of nothing", () => {
  assert.equal(toBase64(new Uint8Array()), "");
  const many = new Uint8Array(100_001).map((_, i) => i % 251);
  assert.deepEqual(Uint8Array.from(Buffer.from(toBase64(many), "base64")), many);
  assert.equal(toBase64(new Float32Array([1])), "AACAPw==");
});

test("a view of a larger buffer gives its own bytes only", () => {
  assert.equal(toBase64(new Uint8Array([9, 1, 2, 9]).subarray(1, 3)), "AQI=");
});
