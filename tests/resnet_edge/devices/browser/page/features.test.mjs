import assert from "node:assert/strict";
import test from "node:test";

import {
  collectFacts,
  factsInWords,
} from "../../../../../resnet_edge/devices/browser/page/features.js";
import { chooseBuild } from "../../../../../resnet_edge/devices/browser/page/litert_builds.js";
import { wasmFeatures } from "../../../../../resnet_edge/devices/browser/page/wasm_features.js";

const CHROMIUM = {
  userAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0 Safari/537.36",
  platform: "Linux x86_64",
  hardwareConcurrency: 2,
  deviceMemory: 8,
  wakeLock: {},
  userAgentData: {
    mobile: false,
    brands: [
      { brand: "Not;A=Brand", version: "99" },
      { brand: "Chromium", version: "156" },
    ],
    getHighEntropyValues: async () => ({
      platform: "Linux",
      platformVersion: "6.1",
      architecture: "x86",
      model: "",
    }),
  },
  gpu: {
    requestAdapter: async () => ({
      info: {
        vendor: "google",
        architecture: "swiftshader",
        description: "",
        isFallbackAdapter: true,
      },
      features: new Set(),
    }),
  },
};

const FIREFOX = {
  userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  platform: "Linux x86_64",
  hardwareConcurrency: 2,
};

function scope(navigator, changes = {}) {
  const { WebAssembly, SharedArrayBuffer, MessageChannel } = globalThis;
  class QuietChannel extends MessageChannel {
    constructor() {
      super();
      this.port1.unref();
      this.port2.unref();
    }
  }
  return {
    navigator,
    WebAssembly,
    SharedArrayBuffer,
    MessageChannel: QuietChannel,
    crossOriginIsolated: true,
    isSecureContext: true,
    ...changes,
  };
}

test("Chromium, isolated", async () => {
  const facts = await collectFacts(scope(CHROMIUM), 5e-6);
  assert.deepEqual(facts.brands, [["Chromium", "156"]]);
  assert.equal(facts.platform, "Linux");
  assert.equal(facts.platform_version, "6.1");
  assert.equal(facts.cores, 2);
  assert.equal(facts.memory_gb, 8);
  assert.equal(facts.isolated, true);
  assert.equal(facts.shared_memory, true);
  assert.equal(facts.simd, true);
  assert.equal(facts.webgpu, true);
  assert.deepEqual(facts.gpu, {
    vendor: "google",
    architecture: "swiftshader",
    description: "",
    fallback: true,
    shader_f16: false,
  });
  assert.equal(facts.wake_lock, true);
  assert.equal(facts.clock_step_s, 5e-6);
  const words = Object.fromEntries(factsInWords(facts));
  assert.equal(words.Browser, "Chromium 156");
  assert.equal(words.WebGPU, "google swiftshader (in software, no float16)");
  assert.equal(words.Threads, "yes: the page is isolated");
  assert.equal(words.Clock, "steps of 5\u00a0µs");
  assert.equal(words.Cores, "2 cores claimed");
});

test("Firefox tells less of itself, and has no WebGPU", async () => {
  const facts = await collectFacts(
    scope(FIREFOX, { crossOriginIsolated: false, isSecureContext: false }),
    0.001,
  );
  assert.deepEqual(facts.brands, []);
  assert.equal(facts.platform, "Linux x86_64");
  assert.equal(facts.architecture, "");
  assert.equal(facts.memory_gb, null);
  assert.equal(facts.webgpu, false);
  assert.equal(facts.gpu, null);
  assert.equal(facts.wake_lock, false);
  assert.equal(facts.shared_memory, false);
  const words = Object.fromEntries(factsInWords(facts));
  assert.equal(words.Browser, "Firefox 140");
  assert.match(words.Threads, /^no: the page is not isolated/);
  assert.match(words.WebGPU, /^none \(https/);
  assert.equal(words.Screen, "cannot be kept on: keep it on yourself");
});

test("hints and adapters that are refused are not known", async () => {
  const refuse = async () => {
    throw new Error("not allowed");
  };
  const navigator = {
    ...CHROMIUM,
    userAgentData: { ...CHROMIUM.userAgentData, getHighEntropyValues: refuse },
    gpu: { requestAdapter: refuse },
  };
  const facts = await collectFacts(scope(navigator), 0);
  assert.equal(facts.platform, "Linux x86_64");
  assert.equal(facts.webgpu, false);
  assert.equal(Object.fromEntries(factsInWords(facts)).Clock, "steps of not known");
});

test("WebAssembly's features are asked of WebAssembly", () => {
  const here = wasmFeatures(scope(FIREFOX));
  assert.equal(here.simd, true);
  const none = wasmFeatures({});
  assert.deepEqual(none, { simd: false, relaxed_simd: false, jspi: false, shared_memory: false });
  const asked = [];
  const validate = (bytes) => asked.push(bytes.length) > 1;
  const half = wasmFeatures(scope(FIREFOX, { WebAssembly: { validate, Suspending: class {} } }));
  assert.deepEqual([half.simd, half.relaxed_simd, half.jspi], [false, true, true]);
});

test("memory that cannot be sent gives no threads", () => {
  const refusing = class {
    port1 = {
      postMessage() {
        throw new Error("DataCloneError");
      },
    };
  };
  assert.equal(wasmFeatures(scope(FIREFOX, { MessageChannel: refusing })).shared_memory, false);
});

const ALL = { simd: true, relaxed_simd: true, jspi: true, shared_memory: true };
for (const [onGpu, threads, features, suffix, used] of [
  [false, 1, ALL, "", 1],
  [false, 4, ALL, "_threaded", 4],
  [false, 4, { ...ALL, shared_memory: false }, "", 1],
  [false, 4, { ...ALL, relaxed_simd: false }, "_compat", 1],
  [true, 1, ALL, "_jspi", 1],
  [true, 1, { ...ALL, jspi: false }, "", 1],
  [true, 1, { ...ALL, relaxed_simd: false, jspi: false }, "_compat", 1],
]) {
  test(`LiteRT.js${suffix} ${onGpu ? "with WebGPU" : `for ${threads} threads`}`, () => {
    assert.deepEqual(chooseBuild(onGpu, threads, features), { suffix, threads: used });
  });
}
