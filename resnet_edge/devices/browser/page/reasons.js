/** One line for people out of whatever a runtime throws: errors, numbers, strings, events. */

const MAX_CHARACTERS = 300;
/** Where in LiteRT's source an error was passed on; all that some of its errors have. */
const PLACES = /(└ )?(ERROR: )?\[[^\]\s]*\.(cc|h):\d+\]/g;
/** What the first line about a fault says; those after it are its consequences. */
const CAUSE = /error|fail|invalid|unsupported|not supported/i;

/**
 * @param {unknown} problem What was thrown.
 * @param {readonly string[]} warnings The lines that the runtime wrote before; one of them often has
 *     the cause that the thrown value lacks.
 * @returns {string} One line without a stack.
 */
export function reasonOf(problem, warnings = []) {
  let text = oneLine(messageOf(problem));
  if (text === "") text = "the runtime refuses the file";
  if (/^(\[object \w+\]|\d+|null|undefined)$/.test(text)) {
    text = `the runtime gave up (${text})`;
  }
  if (isMemory(text)) text = `out of memory: ${text}`;
  const cause = warnings.find((line) => CAUSE.test(line)) ?? warnings.at(-1);
  if (cause !== undefined && !text.includes(cause.slice(0, 60)) && !isPlain(problem, text)) {
    text += `; it wrote before: ${oneLine(cause.replace(/===.*/s, ""))}`;
  }
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS - 1)}…` : text;
}

/** @param {string} text */
function oneLine(text) {
  return text.replace(PLACES, "").replace(/\s+/g, " ").trim();
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
  return (
    !/^out of memory/i.test(text) &&
    /out of memory|memory access|could not allocate|bad_alloc|OOM/i.test(text)
  );
}

/**
 * @param {unknown} problem
 * @param {string} text
 * @returns {boolean} True where the thrown value says enough by itself.
 */
function isPlain(problem, text) {
  return problem instanceof Error && text.length > 40 && !/Aborted|unreachable/.test(text);
}
