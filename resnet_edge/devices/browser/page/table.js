/** The table that fills while it measures. */

import { element } from "./dom.js";
import { decibels, milliseconds, NONE, percent } from "./words.js";

/** @typedef {import("./host.js").Job} Job */

/** Names, kinds, and the names on small screens, where each row is a card. */
const COLUMNS = /** @type {const} */ ([
  ["File", "", ""],
  ["Runtime", "runtime", ""],
  ["Threads", "n", "Threads"],
  ["Verdict", "", ""],
  ["Agreement", "n", "Agreement"],
  ["SQNR", "n", "SQNR"],
  ["Median latency", "n", "Median"],
]);

/** The report's classes of verdicts. */
const CLASSES = new Map([
  ["pass", "is-pass"],
  ["fail", "is-fail"],
  ["inconclusive", "is-inconclusive"],
]);

/**
 * @param {Document} document
 * @returns {HTMLElement} The table's head.
 */
export function tableHead(document) {
  const cells = COLUMNS.map(([name, kind]) =>
    element(document, "th", { scope: "col", class: kind }, name),
  );
  return element(document, "thead", {}, element(document, "tr", {}, ...cells));
}

/**
 * @param {Document} document
 * @param {Job} job
 * @param {string | null} running The id of the job that runs.
 * @returns {HTMLElement} One body of the table: figures, and below them the sentence about them.
 */
export function tableBody(document, job, running) {
  const make = (
    /** @type {string} */ tag,
    /** @type {Record<string, string>} */ attributes,
    /** @type {(Node | string)[]} */ ...children
  ) => element(document, tag, attributes, ...children);
  const state = stateOf(job, running);
  const cell = (/** @type {number} */ column, /** @type {string} */ text) => {
    const [, kind, label] = COLUMNS[column];
    return make("td", { class: text === NONE ? `${kind} none` : kind, "data-label": label }, text);
  };
  const { result } = job;
  const figures = make(
    "tr",
    {},
    make("th", { scope: "row" }, job.artifact),
    cell(1, job.title),
    cell(2, String(job.threads)),
    make(
      "td",
      { class: "badge-cell" },
      make("span", { class: `badge ${state.kind}` }, state.words),
    ),
    cell(4, percent(result?.agreement)),
    cell(5, decibels(result?.sqnr_db)),
    cell(6, milliseconds(result?.p50_ms)),
  );
  const body = make("tbody", { class: state.running ? "running" : "" }, figures);
  const notTimed = result?.not_timed ? `not timed: ${result.not_timed}` : "";
  const why = [result?.words, job.state === "failed" ? job.words : "", notTimed].filter(Boolean);
  if (why.length) {
    const items = why.map((words) => make("li", {}, String(words)));
    body.append(
      make(
        "tr",
        { class: "why" },
        make("td", { colspan: String(COLUMNS.length) }, make("ul", {}, ...items)),
      ),
    );
  } else {
    body.setAttribute("class", `${state.running ? "running " : ""}plain`);
  }
  return body;
}

/**
 * @param {Job} job
 * @param {string | null} running
 * @returns {{words: string, kind: string, running: boolean}} What the badge says, in words too.
 */
export function stateOf(job, running) {
  if (job.id === running) return { words: "measuring", kind: "is-running", running: true };
  if (job.state === "failed") return { words: "did not run", kind: "is-fail", running: false };
  if (job.state === "waiting") return { words: "waiting", kind: "is-not-checked", running: false };
  const verdict = job.result?.verdict;
  if (!verdict) return { words: "timed only", kind: "is-not-checked", running: false };
  return { words: verdict, kind: CLASSES.get(verdict) ?? "is-not-checked", running: false };
}
