/** Tells the step of a worker's clock; it may be another than the page's. */

"use strict";

import("./measure.js").then(({ clockStep }) => {
  clockStep(() => performance.now()); // once for nothing: what runs for the first time is slow
  self.postMessage(clockStep(() => performance.now()));
});
