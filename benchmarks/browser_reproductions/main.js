/** Runs every file on both accelerators, and prints what is seen. */
import { loadLiteRt, loadAndCompile, Tensor } from "./core/dist/index.js";

const QUERIES = 15;
const out = document.getElementById("out");

function say(words) {
  out.textContent += `${words}\n`;
  console.log(words);
}

// LiteRT.js does not look at the errors of the GPU.
const request = globalThis.GPUAdapter?.prototype.requestDevice;
if (request) {
  GPUAdapter.prototype.requestDevice = async function (...given) {
    const device = await request.apply(this, given);
    device.addEventListener("uncapturederror", ({ error }) => {
      const [line] = error.message.trim().split("\n");
      if (!line.startsWith("[Invalid")) say(`  GPU: ${line}`); // those follow from the first one
    });
    return device;
  };
}

async function run({ name, shape, input, expected }, accelerator) {
  const bytes = new Uint8Array(await (await fetch(`./${name}`)).arrayBuffer());
  const model = await loadAndCompile(bytes, { accelerator });
  const values = Float32Array.from(input);
  const times = [];
  let answer = [];
  for (let i = 0; i < QUERIES; i++) {
    const start = performance.now();
    const [result] = await model.run([new Tensor(values, shape)]);
    answer = (await result.moveTo("wasm")).toTypedArray();
    times.push(performance.now() - start);
  }
  const median = times.sort((a, b) => a - b)[QUERIES >> 1].toFixed(2);
  const first = [...answer].slice(0, 3).map((x) => x.toFixed(3));
  say(`${name}, ${accelerator}: isFullyAccelerated ${model.isFullyAccelerated}, ${median} ms`);
  say(`  answers ${first.join(" ")}, LiteRT in Python ${expected.map((x) => x.toFixed(3)).join(" ")}`);
}

await loadLiteRt("./core/wasm/", { jspi: true });
for (const file of await (await fetch("./files.json")).json()) {
  for (const accelerator of ["wasm", "webgpu"]) {
    try {
      await run(file, accelerator);
    } catch (problem) {
      say(`${file.name}, ${accelerator}: ${String(problem)}`);
    }
  }
}
say("done");
