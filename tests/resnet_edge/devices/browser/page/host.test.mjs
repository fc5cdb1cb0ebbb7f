import assert from "node:assert/strict";
import test from "node:test";

import { fetchFile } from "../../../../../resnet_edge/devices/browser/page/files.js";
import {
  Host,
  HostError,
  pageId,
  Stopped,
} from "../../../../../resnet_edge/devices/browser/page/host.js";

const dropped = () => {
  throw new TypeError("Failed to fetch");
};
const answers =
  (body, status = 200) =>
  () =>
    Response.json(body, { status });

/** A host that answers with one of `script` after another. */
function hostWith(...script) {
  const seen = { calls: [], sleeps: [], words: [] };
  const host = new Host("page-1", {
    fetch: async (address, request) => {
      seen.calls.push([address, request.body === undefined ? null : JSON.parse(request.body)]);
      return script[Math.min(seen.calls.length, script.length) - 1]();
    },
    sleep: async (seconds) => void seen.sleeps.push(seconds),
    onWaiting: (words) => seen.words.push(words),
  });
  return { host, seen };
}

test("a message is posted as JSON, and answered", async () => {
  const { host, seen } = hostWith(answers({ left: 3 }));
  assert.deepEqual(await host.send("row", { page: "page-1", threads: 2 }), { left: 3 });
  assert.deepEqual(seen.calls, [["./row", { page: "page-1", threads: 2 }]]);
  assert.deepEqual(seen.words, []);
});

test("a dropped connection is waited for, longer each time; the row is not lost", async () => {
  const { host, seen } = hostWith(
    dropped,
    dropped,
    dropped,
    dropped,
    dropped,
    dropped,
    answers({ left: 0 }),
  );
  assert.deepEqual(await host.send("row", { n: 1 }), { left: 0 });
  assert.deepEqual(seen.sleeps, [0.5, 1, 2, 4, 8, 8]);
  assert.equal(seen.calls.length, 7);
  assert.ok(seen.calls.every(([, body]) => body.n === 1));
  assert.match(
    seen.words[0],
    /^the host does not answer; trying again \(for 0 s so far\); nothing is lost/,
  );
  assert.equal(seen.words.at(-1), "");
});

test("a host with an error of its own is asked again", async () => {
  const { host, seen } = hostWith(answers({ error: "disk full" }, 500), answers({}));
  await host.send("row", {});
  assert.match(seen.words[0], /the host does not answer: disk full/);
});

test("an answer that is cut off is asked for again", async () => {
  const { host } = hostWith(() => new Response('{"left": '), answers({ left: 1 }));
  assert.deepEqual(await host.send("row", {}), { left: 1 });
});

test("a refusal is said in the host's words and not repeated", async () => {
  const { host, seen } = hostWith(answers({ error: "answers of type 'int8'" }, 400));
  await assert.rejects(host.send("row", {}), (problem) => {
    assert.ok(problem instanceof HostError);
    assert.equal(problem.message, "answers of type 'int8'");
    assert.equal(problem.isFinal, false);
    return true;
  });
  assert.equal(seen.calls.length, 1);
});

test("a refusal without words names its status", async () => {
  const { host } = hostWith(() => new Response("<html>", { status: 404 }));
  await assert.rejects(host.send("row", {}), /^HostError: the host answered with status 404$/);
});

for (const [body, status, isBusy, isFinal] of [
  [{ error: "another page is measuring" }, 409, true, false],
  [{ error: "another page has taken over", gone: true }, 409, false, true],
  [{ error: "the host has ended" }, 410, false, true],
]) {
  test(`status ${status}, "${body.error}"`, async () => {
    const { host } = hostWith(answers(body, status));
    await assert.rejects(host.send("begin", {}), (problem) => {
      assert.deepEqual([problem.isBusy, problem.isFinal], [isBusy, isFinal]);
      return true;
    });
  });
}

test("stopped while the host does not answer", async () => {
  const { host } = hostWith(dropped);
  host.sleep = async () => host.stop();
  await assert.rejects(host.send("row", {}), Stopped);
});

test("a sign of life that is lost is not repeated; one that is refused for good is said", async () => {
  const lost = hostWith(dropped);
  await lost.host.alive(true);
  assert.deepEqual(lost.seen.calls, [["./alive", { page: "page-1", hidden: true }]]);
  await assert.rejects(
    hostWith(answers({ error: "ended" }, 410)).host.alive(false),
    /^HostError: ended$/,
  );
});

test("leaving is a beacon", async () => {
  const sent = [];
  hostWith().host.leaving("a/b/1", { sendBeacon: (address, blob) => sent.push([address, blob]) });
  assert.equal(sent[0][0], "./leaving");
  assert.equal(sent[0][1].type, "application/json");
  assert.deepEqual(JSON.parse(await sent[0][1].text()), { page: "page-1", job: "a/b/1" });
});

test("a plan of another schema is refused", async () => {
  await assert.rejects(
    hostWith(answers({ schema: 2 })).host.plan(),
    /schema 2; this page reads 1; reload the page$/,
  );
});

test("a page keeps its name over a reload", () => {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
  };
  const first = pageId(storage);
  assert.match(first, /^[0-9a-f]{32}$/);
  assert.equal(pageId(storage), first);
});

// -- files

function fetching(...script) {
  const sleeps = [];
  let calls = 0;
  return {
    sleeps,
    fetch: async () => script[Math.min(calls++, script.length - 1)](),
    sleep: async (seconds) => void sleeps.push(seconds),
  };
}

test("a file comes as a blob, with progress", async () => {
  const told = [];
  const blob = await fetchFile(
    "./x",
    4,
    (done) => told.push(done),
    fetching(() => new Response("abcd")),
  );
  assert.equal(await blob.text(), "abcd");
  assert.equal(told.at(-1), 4);
});

test("a file that is cut off is fetched again", async () => {
  const surroundings = fetching(
    dropped,
    () => new Response("ab"),
    () => new Response("abcd"),
  );
  assert.equal((await fetchFile("./x", 4, () => {}, surroundings)).size, 4);
  assert.deepEqual(surroundings.sleeps, [1, 2]);
});

test("a file that never comes is named, with the reason", async () => {
  const surroundings = fetching(() => new Response("no", { status: 404 }));
  await assert.rejects(
    fetchFile("./artifacts/int8.tflite?sha256=00", 4, () => {}, surroundings),
    /^Error: int8.tflite could not be fetched: the host answered with status 404$/,
  );
  assert.deepEqual(surroundings.sleeps, [1, 2, 4, 8]);
});

test("stopped while a file is fetched", async () => {
  const stop = new AbortController();
  stop.abort();
  await assert.rejects(
    fetchFile("./x", 4, () => {}, { ...fetching(dropped), signal: stop.signal }),
    Stopped,
  );
});
