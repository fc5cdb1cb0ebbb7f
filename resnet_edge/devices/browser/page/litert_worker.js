/**
 * Runs one .tflite file in LiteRT.js. A classic worker, because LiteRT.js loads its build by
 * `importScripts`, which module workers do not have.
 */

"use strict";

(async () => {
  const { installHooks } = await import("./hooks.js");
  const hooks = installHooks(self);
  const { serve } = await import("./worker_start.js");
  const { openLiteRt } = await import("./litert_engine.js");
  serve(/** @type {any} */ (self), hooks, (work) =>
    openLiteRt(work, hooks, /** @type {any} */ (self)),
  );
})().catch((problem) => self.postMessage({ kind: "failed", reason: String(problem) }));
