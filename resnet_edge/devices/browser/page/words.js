/** Numbers as people read them; a unit stays on the line of its number. */

const GAP = "\u00a0";
/** What is not known. */
export const NONE = "–";

/**
 * @param {number} bytes
 * @returns {string} For instance "24.2 MB".
 */
export function bytesInWords(bytes) {
  for (const [unit, size] of /** @type {const} */ ([
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ])) {
    if (bytes >= size) return `${Number((bytes / size).toPrecision(3))}${GAP}${unit}`;
  }
  return `${bytes}${GAP}bytes`;
}

/**
 * A figure of the host's. JSON has no infinite numbers, and none that are no number: they come as words.
 *
 * @typedef {number | "inf" | "-inf" | "nan" | null | undefined} Figure
 */

/**
 * @param {Figure} share
 * @returns {string} For instance "99.33%"; only all of them are "100%".
 */
export function percent(share) {
  if (typeof share !== "number") return NONE;
  if (share === 1) return "100%";
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)}%`;
}

/**
 * @param {Figure} db
 * @returns {string} For instance "36.2 dB"; answers without any error are "exact".
 */
export function decibels(db) {
  if (db === "inf") return "exact";
  return typeof db === "number" ? `${db.toFixed(1)}${GAP}dB` : NONE;
}

/**
 * @param {number | null | undefined} ms
 * @returns {string}
 */
export function milliseconds(ms) {
  return ms == null ? NONE : `${Number(ms.toPrecision(3))}${GAP}ms`;
}

/**
 * @param {number} seconds
 * @returns {string} For instance "5 µs" or "16.7 ms".
 */
export function stepInWords(seconds) {
  if (seconds <= 0) return "not known";
  return seconds < 1e-3
    ? `${Number((seconds * 1e6).toPrecision(3))}${GAP}µs`
    : `${Number((seconds * 1e3).toPrecision(3))}${GAP}ms`;
}

/**
 * @param {number} count
 * @param {string} one For instance "file".
 * @param {string} many
 * @returns {string} For instance "1 file" or "3 files".
 */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/**
 * @param {string} words The project's messages begin small.
 * @returns {string} With a capital letter.
 */
export function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
