import assert from "node:assert/strict";
import test from "node:test";

import { resultFile } from "../../../../../resnet_edge/devices/browser/page/result_file.js";
import {
  bytesInWords,
  counted,
  decibels,
  milliseconds,
  percent,
  sentence,
  stepInWords,
} from "../../../../../resnet_edge/devices/browser/page/words.js";
import { byReason } from "../../../../../resnet_edge/devices/browser/page/view.js";
import { Presence } from "../../../../../resnet_edge/devices/browser/page/presence.js";

/** Words with the gaps that keep a number and its unit on one line. */
const spaced = (values, words) => values.map((value) => words(value).replaceAll("\u00a0", " "));

test("bytes", () => {
  assert.deepEqual(spaced([0, 999, 1000, 24_160_714, 94_046_114, 1_500_000_000], bytesInWords), [
    "0 bytes",
    "999 bytes",
    "1 kB",
    "24.2 MB",
    "94 MB",
    "1.5 GB",
  ]);
});

test("shares: only all of them are 100%", () => {
  assert.deepEqual([1, 0.99999, 0.9933, 0, null, undefined].map(percent), [
    "100%",
    "99.99%",
    "99.33%",
    "0.00%",
    "–",
    "–",
  ]);
});

test("decibels, milliseconds, steps and counts", () => {
  assert.deepEqual(spaced([42.94, null], decibels), ["42.9 dB", "–"]);
  assert.deepEqual(spaced([18.04, 614, 0.1234, null], milliseconds), [
    "18 ms",
    "614 ms",
    "0.123 ms",
    "–",
  ]);
  assert.deepEqual(spaced([5.0000008e-6, 0.0001, 0.016667, 0], stepInWords), [
    "5 µs",
    "100 µs",
    "16.7 ms",
    "not known",
  ]);
  assert.deepEqual(
    [counted(1, "file"), counted(2, "file"), counted(0, "entry", "entries")],
    ["1 file", "2 files", "0 entries"],
  );
});

test("a sentence begins with a capital letter", () => {
  assert.deepEqual(["the host waits", "", "Ü"].map(sentence), ["The host waits", "", "Ü"]);
});

test("what is left out is told by its reasons", () => {
  const leftOut = [
    { name: "a", reason: "no WebGPU" },
    { name: "b", reason: "no threads" },
    { name: "c", reason: "no WebGPU" },
  ];
  assert.deepEqual(byReason(leftOut), [
    ["no WebGPU", ["a", "c"]],
    ["no threads", ["b"]],
  ]);
});

test("the file has all that the host reads", () => {
  const failed = [{ job: "a", reason: "no", stage: "load" }];
  assert.deepEqual(JSON.parse(resultFile({ id: "plan-1" }, { cores: 2 }, [{ job: "b" }], failed)), {
    schema: 1,
    plan: "plan-1",
    facts: { cores: 2 },
    rows: [{ job: "b" }],
    failed,
  });
});

class Tab extends EventTarget {
  hidden = false;

  turn(hidden) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

test("a tab that was hidden for a moment is remembered until the next job", () => {
  const tab = new Tab();
  const presence = new Presence(tab, {}, () => {});
  presence.begin();
  assert.equal(presence.hidden(), false);
  tab.turn(true);
  tab.turn(false);
  assert.equal(presence.hidden(), true);
  presence.begin();
  assert.equal(presence.hidden(), false);
});

test("the screen's lock ends with hiding, and is asked for again", async () => {
  const tab = new Tab();
  let asked = 0;
  let released = 0;
  const lock = { release: async () => void released++ };
  const navigator = { wakeLock: { request: async () => (asked++, lock) } };
  const presence = new Presence(tab, navigator, () => {});
  await presence.keepScreenOn();
  tab.turn(true);
  tab.turn(false);
  assert.equal(asked, 2);
  presence.letScreenOff();
  assert.equal(released, 1);
  tab.turn(false);
  assert.equal(asked, 2);
});

test("a lock that is refused is no error", async () => {
  const refuse = async () => {
    throw new Error("NotAllowedError");
  };
  await new Presence(new Tab(), { wakeLock: { request: refuse } }, () => {}).keepScreenOn();
});
