/** Runs one .onnx file in onnxruntime-web, whose small builds are classic scripts. */

"use strict";

(async () => {
  const { installHooks } = await import("./hooks.js");
  const hooks = installHooks(self);
  const { serve } = await import("./worker_start.js");
  const { openOrt } = await import("./ort_engine.js");
  serve(/** @type {any} */ (self), hooks, (work) =>
    openOrt(work, hooks, /** @type {any} */ (self)),
  );
})().catch((problem) => self.postMessage({ kind: "failed", reason: String(problem) }));
