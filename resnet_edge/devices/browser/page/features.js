/** What this browser is and can do. */

import { wasmFeatures } from "./wasm_features.js";
import { counted, stepInWords } from "./words.js";

/**
 * @typedef {object} Gpu
 * @property {string} vendor
 * @property {string} architecture
 * @property {string} description
 * @property {boolean} fallback True where it says that the processor plays the GPU.
 * @property {boolean} shader_f16
 */

/**
 * @typedef {object} Facts As the host's `Facts`.
 * @property {string} user_agent
 * @property {[string, string][]} brands
 * @property {string} platform
 * @property {string} platform_version
 * @property {string} architecture
 * @property {string} model
 * @property {boolean} mobile
 * @property {number} cores The number that the browser claims.
 * @property {number | null} memory_gb
 * @property {boolean} isolated
 * @property {boolean} secure
 * @property {boolean} shared_memory
 * @property {boolean} simd
 * @property {boolean} relaxed_simd
 * @property {boolean} jspi
 * @property {boolean} webgpu
 * @property {Gpu | null} gpu
 * @property {boolean} wake_lock
 * @property {number} clock_step_s
 */

const HINTS = ["platform", "platformVersion", "architecture", "model", "mobile", "fullVersionList"];

/**
 * @param {any} scope The page's global scope.
 * @param {number} clockStep Seconds, measured in a worker.
 * @returns {Promise<Facts>}
 */
export async function collectFacts(scope, clockStep) {
  const { navigator } = scope;
  const hints = await userAgentHints(navigator.userAgentData);
  const gpu = await findGpu(navigator.gpu);
  const wasm = wasmFeatures(scope);
  const isolated = scope.crossOriginIsolated === true;
  return {
    user_agent: navigator.userAgent,
    brands: brandsOf(navigator.userAgentData?.brands ?? []),
    platform: hints.platform || navigator.platform || "",
    platform_version: hints.platformVersion ?? "",
    architecture: hints.architecture ?? "",
    model: hints.model ?? "",
    mobile: navigator.userAgentData?.mobile ?? /Mobi|Android/.test(navigator.userAgent),
    cores: navigator.hardwareConcurrency || 1,
    memory_gb: navigator.deviceMemory ?? null,
    isolated,
    secure: scope.isSecureContext === true,
    ...wasm,
    shared_memory: isolated && wasm.shared_memory,
    webgpu: gpu !== null,
    gpu,
    wake_lock: "wakeLock" in navigator,
    clock_step_s: clockStep,
  };
}

/** @param {any} data `navigator.userAgentData`, which Firefox and Safari lack. */
async function userAgentHints(data) {
  try {
    return (await data?.getHighEntropyValues(HINTS)) ?? {};
  } catch {
    return {}; // refused by the person's settings
  }
}

/**
 * @param {{brand: string, version: string}[]} brands
 * @returns {[string, string][]} Without the one that is made up to keep pages from guessing.
 */
function brandsOf(brands) {
  return brands
    .filter(
      ({ brand }) =>
        !/^.?Not.?A.?Brand.?$/i.test(
          brand
            .replace(/[^a-z]/gi, " ")
            .trim()
            .replace(/ +/g, " "),
        ),
    )
    .map(({ brand, version }) => [brand, version]);
}

/**
 * @param {any} gpu `navigator.gpu`.
 * @returns {Promise<Gpu | null>} Null where no adapter is given.
 */
async function findGpu(gpu) {
  try {
    const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return null;
    const info = adapter.info ?? {};
    return {
      vendor: info.vendor ?? "",
      architecture: info.architecture ?? "",
      description: info.description || info.device || "",
      fallback: info.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false,
      shader_f16: adapter.features.has("shader-f16"),
    };
  } catch {
    return null;
  }
}

/**
 * @param {Facts} facts
 * @returns {[string, string][]} Names and values for people.
 */
export function factsInWords(facts) {
  const brand = facts.brands.filter(([name]) => name !== "Chromium").at(0) ?? facts.brands.at(0);
  return [
    ["Browser", brand ? `${brand[0]} ${brand[1]}` : shortAgent(facts.user_agent)],
    [
      "Machine",
      [facts.model, facts.platform, facts.platform_version, facts.architecture]
        .filter(Boolean)
        .join(", "),
    ],
    ["Cores", `${counted(facts.cores, "core")} claimed`],
    ["Threads", threadsInWords(facts)],
    [
      "SIMD",
      facts.relaxed_simd
        ? "yes, relaxed as well"
        : facts.simd
          ? "yes, without relaxed SIMD"
          : "none",
    ],
    ["WebGPU", gpuInWords(facts)],
    ["Clock", `steps of ${stepInWords(facts.clock_step_s)}`],
    [
      "Screen",
      facts.wake_lock
        ? "can be kept on while it measures"
        : "cannot be kept on: keep it on yourself",
    ],
  ];
}

/** @param {Facts} facts */
function threadsInWords(facts) {
  if (facts.isolated && facts.shared_memory) return "yes: the page is isolated";
  return facts.isolated
    ? "no: no shared memory"
    : "no: the page is not isolated (https or this machine itself is needed)";
}

/** @param {Facts} facts */
function gpuInWords({ gpu, secure }) {
  if (gpu === null) return secure ? "none" : "none (https or this machine itself is needed)";
  const parts = [...new Set([gpu.vendor, gpu.architecture, gpu.description])].filter(Boolean);
  const notes = [gpu.fallback ? "in software" : "", gpu.shader_f16 ? "" : "no float16"].filter(
    Boolean,
  );
  return `${parts.join(" ") || "yes"}${notes.length ? ` (${notes.join(", ")})` : ""}`;
}

/** @param {string} agent */
function shortAgent(agent) {
  const found = /(Firefox)\/(\d+)/.exec(agent) ?? /(Version)\/([\d.]+).*Safari/.exec(agent);
  if (!found) return agent;
  return found[1] === "Version" ? `Safari ${found[2]}` : `${found[1]} ${found[2]}`;
}
