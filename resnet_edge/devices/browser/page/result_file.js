/** All that was measured as a file, for a host that could not be reached in the end. */

export const FILE_NAME = "resnet-edge-browser.json";

/**
 * @param {import("./host.js").Plan} plan What was measured by.
 * @param {import("./features.js").Facts} facts
 * @param {import("./runner.js").Row[]} rows
 * @param {import("./runner.js").Failure[]} failed
 * @returns {string} JSON that the host reads.
 */
export function resultFile(plan, facts, rows, failed) {
  return JSON.stringify({ schema: 1, plan: plan.id, facts, rows, failed });
}

/**
 * @param {Document} document
 * @param {string} text
 */
export function save(document, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = FILE_NAME;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
