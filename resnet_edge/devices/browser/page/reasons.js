/** One line for people out of whatever a runtime throws: errors, numbers, strings, events. */

const MAX_CHARACTERS = 300;

/**
 * @param {unknown} problem What was thrown.
 * @param {readonly string[]} warnings The lines that the runtime wrote before; the last one often
 *     has the cause that the thrown value lacks.
 * @returns {string} One line without a stack.
 */
export function reasonOf(problem, warnings = []) {
  let text = messageOf(problem).replace(/\s+/g, " ").trim();
  if (/^(\[object \w+\]|\d*|null|undefined)$/.test(text)) {
    text = `the runtime gave up${text && ` (${text})`}`;
  }
  if (isMemory(text)) text = `out of memory: ${text}`;
  const last = warnings.at(-1);
  if (last !== undefined && !text.includes(last.slice(0, 60)) && !isPlain(problem, text)) {
    text += `; it wrote before: ${last}`;
  }
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS - 1)}…` : text;
}

/**
 * @param {unknown} problem
 * @returns {string}
 */
function messageOf(problem) {
  if (typeof problem === "object" && problem !== null && "message" in problem) {
    const name = "name" in problem && problem.name !== "Error" ? `${String(problem.name)}: ` : "";
    const message = String(problem.message);
    return message.startsWith(name) ? message : name + message;
  }
  return String(problem);
}

/**
 * @param {string} text
 * @returns {boolean} True for what browsers and Emscripten say where memory ends.
 */
function isMemory(text) {
  return !/^out of memory/i.test(text) && /out of memory|memory access|could not allocate|bad_alloc|OOM/i.test(text);
}

/**
 * @param {unknown} problem
 * @param {string} text
 * @returns {boolean} True where the thrown value says enough by itself.
 */
function isPlain(problem, text) {
  return problem instanceof Error && text.length > 40 && !/Aborted|unreachable/.test(text);
}
