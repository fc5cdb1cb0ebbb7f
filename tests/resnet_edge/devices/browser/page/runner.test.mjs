import assert from "node:assert/strict";
import test from "node:test";

import { HostError, Stopped } from "../../../../../resnet_edge/devices/browser/page/host.js";
import {
  JobFailed,
  LOAD_MS,
  runJob,
  SILENT_MS,
} from "../../../../../resnet_edge/devices/browser/page/one_job.js";
import { Runner } from "../../../../../resnet_edge/devices/browser/page/runner.js";
import { FakeWorker, fakeTimers, job } from "./stand_ins.mjs";

const ROW = { runtime_version: "2.5.3", samples_s: [0.01], latency_note: "" };
const settle = () => new Promise((go) => setImmediate(go));

/** A worker that does well. */
const good = (_work, tell) => {
  tell({ kind: "stage", stage: "load" });
  tell({ kind: "stage", stage: "answers" });
  tell({ kind: "progress", done: 64, of: 64 });
  tell({ kind: "stage", stage: "latency" });
  tell({ kind: "done", row: ROW });
};

// -- One job

/** Run a worker's script; returns what came of it, with what was seen on the way. */
async function run(script, { timers = fakeTimers(), stop = new AbortController() } = {}) {
  const seen = { stages: [], worker: null };
  const promise = runJob(
    () => (seen.worker = new FakeWorker(script)),
    { job: job() },
    (...progress) => seen.stages.push(progress.join(" ")),
    stop.signal,
    timers,
  );
  const outcome = await promise.then(
    (row) => ({ row }),
    (problem) => ({ problem }),
  );
  return { ...outcome, ...seen, timers };
}

test("a job that does well: its row, its progress, and a worker that is gone", async () => {
  const { row, stages, worker, timers } = await run(good);
  assert.deepEqual(row, ROW);
  assert.deepEqual(stages, ["load 0 0", "answers 0 0", "answers 64 64", "latency 0 0"]);
  assert.equal(worker.terminated, true);
  assert.equal(timers.waiting.size, 0);
});

function assertFailed(problem, reason, stage) {
  assert.ok(problem instanceof JobFailed, String(problem));
  assert.match(problem.message, reason);
  assert.equal(problem.stage, stage);
}

test("a file that the runtime refuses", async () => {
  const { problem, worker } = await run((_work, tell) => {
    tell({ kind: "stage", stage: "load" });
    tell({ kind: "failed", reason: "no kernel for INT16" });
  });
  assertFailed(problem, /^no kernel for INT16$/, "load");
  assert.equal(worker.terminated, true);
});

test("a worker that crashes while it answers", async () => {
  const { problem } = await run((_work, tell, worker) => {
    tell({ kind: "stage", stage: "answers" });
    worker.onerror({ message: "Uncaught RuntimeError: unreachable", preventDefault() {} });
  });
  assertFailed(problem, /^Uncaught RuntimeError: unreachable$/, "answers");
});

test("a worker whose script is not there says nothing in its error", async () => {
  const { problem } = await run((_work, _tell, worker) => worker.onerror({}));
  assertFailed(problem, /^the worker's script could not be loaded, or ended by itself$/, "load");
});

test("a message that cannot be read", async () => {
  const { problem } = await run((_work, _tell, worker) => worker.onmessageerror({}));
  assertFailed(
    problem,
    /^a message of the worker could not be read; memory may have run out$/,
    "load",
  );
});

test("a worker that cannot be made", async () => {
  const none = () => {
    throw new Error("SecurityError");
  };
  await assert.rejects(
    runJob(none, {}, () => {}, new AbortController().signal, fakeTimers()),
    /SecurityError/,
  );
});

test("a worker that never loads ends after the limit of loading", async () => {
  const timers = fakeTimers();
  const promise = run((_work, tell) => tell({ kind: "stage", stage: "load" }), { timers });
  await settle();
  assert.equal(timers.fire(), LOAD_MS);
  assertFailed((await promise).problem, /^not loaded after 120 s$/, "load");
});

test("the first answer has as long as loading has", async () => {
  const timers = fakeTimers();
  const promise = run((_work, tell) => tell({ kind: "stage", stage: "answers" }), { timers });
  await settle();
  assert.equal(timers.fire(), LOAD_MS);
  assertFailed((await promise).problem, /^no first answer after 120 s$/, "answers");
});

test("a worker that falls silent while it answers", async () => {
  const timers = fakeTimers();
  const promise = run(
    (_work, tell) => {
      tell({ kind: "stage", stage: "answers" });
      tell({ kind: "progress", done: 3, of: 64 });
    },
    { timers },
  );
  await settle();
  assert.equal(timers.fire(), SILENT_MS);
  const { problem, worker } = await promise;
  assertFailed(problem, /^no answer for 60 s$/, "answers");
  assert.equal(worker.terminated, true);
});

test("stopped: the worker is gone", async () => {
  const stop = new AbortController();
  const promise = run(() => stop.abort(), { stop });
  const { problem, worker } = await promise;
  assert.ok(problem instanceof Stopped);
  assert.equal(worker.terminated, true);
});

test("stopped before it began: no worker is made", async () => {
  const stop = new AbortController();
  stop.abort();
  const { problem, worker } = await run(good, { stop });
  assert.ok(problem instanceof Stopped);
  assert.equal(worker, null);
});

// -- All jobs

/** A host that keeps the jobs' states, as the real one does. */
class FakeHost {
  page = "page-1";
  calls = [];
  refusals = [];
  stopped = false;

  constructor(...jobs) {
    this.jobs = jobs;
  }

  stop() {
    this.stopped = true;
  }

  async sleep(seconds) {
    this.calls.push(["sleep", seconds]);
  }

  async send(name, message) {
    this.calls.push([name, message]);
    const [next] = this.refusals;
    if (next?.name === name) {
      this.refusals.shift();
      throw next.problem;
    }
    const state = { row: "done", failed: "failed" }[name];
    if (state) {
      this.jobs = this.jobs.map((each) => (each.id === message.job ? { ...each, state } : each));
    }
    const left = this.jobs.filter((each) => each.state === "waiting").length;
    return { jobs: this.jobs, left, ...(left ? {} : { result: "device-x.json" }) };
  }

  names() {
    return this.calls.map(([name, message]) => (message?.job ? `${name} ${message.job}` : name));
  }
}

function runnerWith(host, scripts, changes = {}) {
  const shown = { waiting: [], progress: [] };
  let made = 0;
  const runner = new Runner({
    host,
    facts: { cores: 2 },
    work: async (each) => ({ job: each }),
    makeWorker: () => new FakeWorker(scripts[made++]),
    visibility: { begin() {}, hidden: () => false },
    show: {
      jobs() {},
      progress: (...all) => shown.progress.push(all),
      waiting: (words) => shown.waiting.push(words),
    },
    timers: fakeTimers(),
    ...changes,
  });
  return { runner, shown };
}

const TWO = [job({ id: "a" }), job({ id: "b" })];

test("jobs run in the host's order, each outcome goes to the host", async () => {
  const host = new FakeHost(...TWO);
  const { runner } = runnerWith(host, [good, good]);
  await runner.run();
  assert.deepEqual(host.names(), ["begin", "started a", "row a", "started b", "row b"]);
  assert.deepEqual(host.calls[2][1], { page: "page-1", job: "a", hidden: false, ...ROW });
  assert.equal(runner.result, "device-x.json");
  assert.equal(runner.rows.length, 2);
  assert.equal(runner.running, null);
});

test("what was done before is not done again", async () => {
  const host = new FakeHost(
    job({ id: "a", state: "done" }),
    job({ id: "b", state: "failed" }),
    job({ id: "c" }),
  );
  await runnerWith(host, [good]).runner.run();
  assert.deepEqual(host.names(), ["begin", "started c", "row c"]);
});

test("a job that fails does not keep the next from running", async () => {
  const host = new FakeHost(...TWO);
  const { runner } = runnerWith(host, [
    (_work, tell) => tell({ kind: "failed", reason: "no" }),
    good,
  ]);
  await runner.run();
  assert.deepEqual(host.names(), ["begin", "started a", "failed a", "started b", "row b"]);
  assert.deepEqual(host.calls[2][1], { page: "page-1", job: "a", reason: "no", stage: "load" });
  assert.deepEqual(runner.failed, [{ job: "a", reason: "no", stage: "load" }]);
});

test("a file that cannot be fetched fails its job", async () => {
  const host = new FakeHost(job({ id: "a" }));
  const work = async () => {
    throw new Error("int8.tflite could not be fetched: 404");
  };
  await runnerWith(host, [], { work }).runner.run();
  assert.deepEqual(host.calls[2][1], {
    page: "page-1",
    job: "a",
    reason: "int8.tflite could not be fetched: 404",
    stage: "load",
  });
});

test("a row that the host refuses is a failed job", async () => {
  const host = new FakeHost(job({ id: "a" }));
  host.refusals = [{ name: "row", problem: new HostError("12 bytes of answers", 400, false) }];
  await runnerWith(host, [good]).runner.run();
  assert.match(host.calls[3][1].reason, /^the host refuses the row: 12 bytes of answers$/);
});

test("a page that was hidden says so in its row", async () => {
  const host = new FakeHost(job({ id: "a" }));
  await runnerWith(host, [good], { visibility: { begin() {}, hidden: () => true } }).runner.run();
  assert.equal(host.calls[2][1].hidden, true);
});

test("it waits while another page measures", async () => {
  const host = new FakeHost(job({ id: "a" }));
  const busy = new HostError("another page is measuring (Firefox 140 on Linux)", 409, false);
  host.refusals = [
    { name: "begin", problem: busy },
    { name: "begin", problem: busy },
  ];
  const { runner, shown } = runnerWith(host, [good]);
  await runner.run();
  assert.deepEqual(host.names(), [
    "begin",
    "sleep",
    "begin",
    "sleep",
    "begin",
    "started a",
    "row a",
  ]);
  assert.equal(host.calls[1][1], 3);
  assert.deepEqual(shown.waiting, [busy.message, busy.message, ""]);
});

test("it stops when another page took over", async () => {
  const host = new FakeHost(...TWO);
  host.refusals = [
    { name: "row", problem: new HostError("another page has taken over", 409, true) },
  ];
  const { runner } = runnerWith(host, [good, good]);
  await assert.rejects(runner.run(), /taken over/);
  assert.deepEqual(host.names(), ["begin", "started a", "row a"]);
  assert.equal(runner.rows.length, 1); // still there to be saved
});

test("Stop ends the job that runs, and no other begins", async () => {
  const host = new FakeHost(...TWO);
  const { runner } = runnerWith(host, [() => runner.stop(), good]);
  await assert.rejects(runner.run(), Stopped);
  assert.deepEqual(host.names(), ["begin", "started a"]);
  assert.equal(host.stopped, true);
  assert.deepEqual(runner.failed, []);
});
