import assert from "node:assert/strict";
import test from "node:test";

import {
  clockStep,
  measure,
  median,
  queriesPerSample,
} from "../../../../../resnet_edge/devices/browser/page/measure.js";
import { fakeClock } from "./stand_ins.mjs";

const SPEC = { min_seconds: 0.1, min_queries: 4, max_warmup_s: 1 };

/** A query that takes the next of `times` in milliseconds, and the last one ever after. */
function taking(clock, ...times) {
  let i = 0;
  return async () => {
    clock.ms += times[Math.min(i++, times.length - 1)];
  };
}

test("the median of an odd and an even number of values", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test("a steady query: ten to warm up, then samples until seconds and queries are there", async () => {
  const clock = fakeClock();
  const timing = await measure(taking(clock, 20), SPEC, clock.read, 0);
  assert.equal(timing.warmup, 10);
  assert.equal(timing.settled, true);
  assert.deepEqual(timing.samples_s, [0.02, 0.02, 0.02, 0.02, 0.02]);
  assert.equal(timing.queries_per_sample, 1);
  assert.ok(Math.abs(timing.seconds - 0.1) < 1e-9);
  assert.equal(timing.latency_note, "");
});

test("slow queries: as many samples as are wanted, however long they take", async () => {
  const clock = fakeClock();
  const timing = await measure(taking(clock, 500), { ...SPEC, min_queries: 6 }, clock.read, 0);
  assert.equal(timing.samples_s.length, 6);
});

test("the warm-up goes on until the last five are like the five before", async () => {
  const clock = fakeClock();
  const falling = [90, 80, 70, 60, 50, 40, 30, 20, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10];
  const timing = await measure(taking(clock, ...falling), SPEC, clock.read, 0);
  // Queries 7 to 11 (30, 20, 10, 10, 10) are the first to have the median of the five after them.
  assert.equal(timing.warmup, 16);
  assert.equal(timing.settled, true);
  assert.ok(timing.samples_s.every((s) => s === 0.01));
});

test("a warm-up that never settles ends after its seconds, and says so", async () => {
  const clock = fakeClock();
  let ms = 1;
  const query = async () => {
    clock.ms += ms *= 1.2;
  };
  const timing = await measure(query, { ...SPEC, max_warmup_s: 0.5 }, clock.read, 0);
  assert.equal(timing.settled, false);
  assert.equal(timing.warmup, 25); // 6 (1.2^n - 1) ms exceeds 500 at n = 25
});

test("a clock of 1 ms makes samples of several queries: 100 times its step", async () => {
  const clock = fakeClock(1);
  const timing = await measure(taking(clock, 8), SPEC, clock.read, 0.001);
  assert.equal(timing.queries_per_sample, 13); // 100 ms / 8 ms, rounded up
  assert.equal(timing.samples_s.length, 4);
  assert.ok(timing.samples_s.every((s) => Math.abs(s - 0.008) <= 0.001 / 13));
});

test("a query below the clock's step is timed by what many of them take", async () => {
  const clock = fakeClock(16);
  const timing = await measure(taking(clock, 10), { ...SPEC, max_warmup_s: 3 }, clock.read, 0.016);
  assert.ok(
    timing.queries_per_sample >= 145 && timing.queries_per_sample <= 175,
    `${timing.queries_per_sample}`,
  );
  assert.ok(timing.samples_s.every((s) => Math.abs(s - 0.01) < 0.0002));
});

test("a clock too coarse for the query gives no latency, and the reason", async () => {
  const clock = fakeClock(100);
  const timing = await measure(taking(clock, 2), SPEC, clock.read, 0.1);
  assert.deepEqual(timing.samples_s, []);
  assert.match(
    timing.latency_note,
    /^the clock steps by 100 ms, and a query takes .* ms: a sample would need \d+ queries, at most 256 are taken/,
  );
});

test("a clock that stands still gives no latency", async () => {
  const timing = await measure(
    async () => {},
    SPEC,
    () => 5,
    0.001,
  );
  assert.equal(timing.latency_note, "the clock stood still; no latency can be measured here");
});

test("a sample without any time gives no latency", async () => {
  const clock = fakeClock();
  const timing = await measure(taking(clock, ...Array(10).fill(5), 0), SPEC, clock.read, 0);
  assert.match(timing.latency_note, /^a sample of 1 queries took no time at all by this clock/);
  assert.deepEqual(timing.samples_s, []);
});

test("a machine that slept between two queries gives no latency", async () => {
  const clock = fakeClock();
  let queries = 0;
  const query = async () => {
    clock.ms += 10;
    queries += 1;
  };
  const asleep = () => {
    if (queries === 12) {
      queries += 1;
      return clock.ms;
    }
    if (queries === 13) clock.ms += 5000;
    return clock.ms;
  };
  const timing = await measure(query, SPEC, asleep, 0);
  assert.match(
    timing.latency_note,
    /^5 s passed between two queries: the browser or the machine was put to sleep/,
  );
});

test("a machine that slept within a query gives no latency", async () => {
  const clock = fakeClock();
  const timing = await measure(
    taking(clock, ...Array(11).fill(10), 20_000, 10),
    SPEC,
    clock.read,
    0,
  );
  assert.match(timing.latency_note, /^one query took 20 s where the median is 10 ms/);
});

test("a clock that goes backwards gives no latency", async () => {
  let reads = 0;
  const timing = await measure(
    async () => {},
    SPEC,
    () => 1000 - reads++,
    0,
  );
  assert.match(
    timing.latency_note,
    /^the clock went from 1000 to 999 to 998 ms around a query; measure again/,
  );
});

test("an error of the runtime is not a matter of the clock", async () => {
  const broken = async () => {
    throw new Error("aborted");
  };
  await assert.rejects(
    measure(broken, SPEC, () => 0, 0),
    /^Error: aborted$/,
  );
});

test("progress tells the seconds of inference, also while it warms up", async () => {
  const clock = fakeClock();
  const told = [];
  await measure(taking(clock, 50), SPEC, clock.read, 0, (s) => told.push(s));
  assert.deepEqual(told.slice(0, 10), Array(10).fill(0.05));
  assert.equal(told.length, 14);
});

test("queries of a sample: one where the clock is fine", () => {
  assert.equal(queriesPerSample([0.01, 0.01], 5e-6), 1);
  assert.equal(queriesPerSample([0.01, 0.01], 1e-4), 1);
  assert.equal(queriesPerSample([0.01, 0.01], 2e-4), 2);
  assert.equal(queriesPerSample([0.01, 0.01], 0.0256), 256);
  assert.throws(() => queriesPerSample([0.01, 0.01], 0.0257), /257 queries/);
});

test("the step of a clock is the median of its steps", () => {
  let i = 0;
  const times = [0, 0, 1, 1, 2, 2, 2, 4, 5];
  assert.equal(
    clockStep(() => times[Math.min(i++, times.length - 1)], 4),
    0.001,
  );
});

test("the step of a slow clock is known after one step", () => {
  let polls = 0;
  assert.equal(
    clockStep(() => Math.floor(polls++ / 10) * 200, 25, 100),
    0.2,
  );
});
