import assert from "node:assert/strict";
import test from "node:test";

import {
  stateOf,
  tableBody,
  tableHead,
} from "../../../../../resnet_edge/devices/browser/page/table.js";
import { job, StandInDocument } from "./stand_ins.mjs";

const document = new StandInDocument();
const RESULT = {
  verdict: "pass",
  words: "64 of 64 answers are the reference's",
  agreement: 1,
  sqnr_db: 42.94,
  p50_ms: 18.04,
  not_timed: "",
};
const cells = (body) => body.all("td").map((cell) => cell.text.replaceAll("\u00a0", " "));
const badge = (body) => body.all("span")[0];

test("the head names every column of a row", () => {
  const names = tableHead(document)
    .all("th")
    .map((cell) => cell.text);
  assert.deepEqual(names, [
    "File",
    "Runtime",
    "Threads",
    "Verdict",
    "Agreement",
    "SQNR",
    "Median latency",
  ]);
});

test("a job that waits has no figures", () => {
  const body = tableBody(document, job(), null);
  assert.deepEqual(cells(body), ["LiteRT.js wasm", "2", "waiting", "–", "–", "–"]);
  assert.equal(body.all("tr").length, 1);
});

test("a job that runs says so in words", () => {
  const body = tableBody(document, job(), job().id);
  assert.equal(badge(body).text, "measuring");
  assert.match(body.attributes.class, /running/);
});

test("a row with figures, and the sentence below them", () => {
  const body = tableBody(document, job({ state: "done", result: RESULT }), null);
  assert.deepEqual(cells(body), [
    "LiteRT.js wasm",
    "2",
    "pass",
    "100%",
    "42.9 dB",
    "18 ms",
    "64 of 64 answers are the reference's",
  ]);
  assert.equal(badge(body).attributes.class, "badge is-pass");
  assert.equal(body.all("th")[0].text, "int8.tflite");
});

test("on small screens each figure is named, and what is not known is left away", () => {
  const labels = tableBody(document, job(), null)
    .all("td")
    .map((cell) => cell.attributes["data-label"]);
  assert.deepEqual(labels, ["", "Threads", undefined, "Agreement", "SQNR", "Median"]);
  const kinds = tableBody(document, job(), null)
    .all("td")
    .map((cell) => cell.attributes.class);
  assert.deepEqual(kinds, ["runtime", "n", "badge-cell", "n none", "n none", "n none"]);
});

test("a row without latency has the reason", () => {
  const result = { ...RESULT, words: "", p50_ms: null, not_timed: "the clock steps by 16 ms" };
  const body = tableBody(document, job({ state: "done", result }), null);
  assert.deepEqual(cells(body).slice(-2), ["–", "not timed: the clock steps by 16 ms"]);
});

test("answers that are none, and answers without error, are words in JSON", () => {
  for (const [figure, shown] of [
    ["nan", "–"],
    ["inf", "exact"],
  ]) {
    const result = { ...RESULT, words: "", sqnr_db: figure, agreement: "nan" };
    const body = tableBody(document, job({ state: "done", result }), null);
    assert.deepEqual(cells(body).slice(3, 5), ["–", shown]);
  }
});

test("a job that failed has its reason", () => {
  const body = tableBody(
    document,
    job({ state: "failed", words: "load: no kernel for INT16" }),
    null,
  );
  assert.equal(badge(body).text, "did not run");
  assert.equal(cells(body).at(-1), "load: no kernel for INT16");
});

for (const [verdict, words, kind] of [
  ["pass", "pass", "is-pass"],
  ["inconclusive", "inconclusive", "is-inconclusive"],
  ["fail", "fail", "is-fail"],
  ["not checked", "not checked", "is-not-checked"],
  ["", "timed only", "is-not-checked"],
]) {
  test(`verdict "${verdict}" is shown as "${words}"`, () => {
    const state = stateOf(job({ state: "done", result: { ...RESULT, verdict } }), null);
    assert.deepEqual(state, { words, kind, running: false });
  });
}
