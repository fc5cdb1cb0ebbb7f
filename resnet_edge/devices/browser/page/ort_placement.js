/** Reads onnxruntime's log: on which execution provider each node of a graph was placed. */

/**
 * onnxruntime writes one of
 *
 *     All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 123
 *      Node(s) placed on [CPUExecutionProvider]. Number of nodes: 4
 */
const PLACED = /odes? ?(?:\(s\) )?placed on \[(\w+)\]\. Number of nodes: (\d+)/;

export class Placement {
  /** @type {Map<string, number>} Nodes by provider. */
  nodes = new Map();

  /** @param {string} line */
  read(line) {
    const found = PLACED.exec(line.replace("Node(s)", "Nodes"));
    if (found) this.nodes.set(found[1], (this.nodes.get(found[1]) ?? 0) + Number(found[2]));
  }

  /**
   * @param {string} provider
   * @returns {boolean | null} Null where the log said nothing.
   */
  onlyOn(provider) {
    if (this.nodes.size === 0) return null;
    return this.nodes.size === 1 && this.nodes.has(provider);
  }
}
