/** Talks to the host that served this page. A dropped connection is waited for: no row is lost. */

/**
 * @typedef {object} Judgement What the host says of a row.
 * @property {string} verdict "pass", "inconclusive", "fail" or "not checked"; "" where the row had
 *     no answers.
 * @property {string} words
 * @property {import("./words.js").Figure} agreement
 * @property {import("./words.js").Figure} sqnr_db
 * @property {number | null} p50_ms
 * @property {string} not_timed Why there is no latency that counts; "" where there is one.
 */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string} artifact
 * @property {"litert-wasm" | "litert-webgpu" | "ort-wasm" | "ort-webgpu"} backend
 * @property {string} title
 * @property {number} threads To ask for.
 * @property {boolean} answers Whether it shall answer all pictures.
 * @property {string} not_timed Why its latency would say nothing; "" where it is to be timed.
 * @property {"waiting" | "done" | "failed"} state
 * @property {string} words
 * @property {Judgement | null} result
 */

/** @typedef {{name: string, reason: string}} LeftOut */

/** @typedef {{jobs: Job[], left_out: LeftOut[], bytes: number}} Look */

/**
 * @typedef {object} Plan
 * @property {number} schema
 * @property {string} id The hash of what is measured.
 * @property {string} made_by
 * @property {string} model
 * @property {number} classes
 * @property {{count: number, height: number, width: number, bytes: number, address: string}} pictures
 * @property {{name: string, format: string, bytes: number, address: string,
 *     input_dtype: "float32" | "uint8", output_dtype: "float32" | "uint8"}[]} artifacts
 * @property {import("./measure.js").Spec} spec
 * @property {{isolated: boolean, note: string}} host
 */

/** @typedef {{jobs?: Job[], result?: string}} Reply The parts of an answer that are taken. */

/** The host's refusal, in its own words. */
export class HostError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {boolean} gone True where another page took over.
   */
  constructor(message, status, gone) {
    super(message);
    this.name = "HostError";
    this.status = status;
    this.gone = gone;
  }

  /** @returns {boolean} True where this page has nothing more to send. */
  get isFinal() {
    return this.gone || this.status === 410;
  }

  /** @returns {boolean} True where another page measures now. */
  get isBusy() {
    return this.status === 409 && !this.gone;
  }
}

/** Stopped by the person at the page. */
export class Stopped extends Error {
  constructor() {
    super("stopped");
    this.name = "Stopped";
  }
}

const FIRST_WAIT_S = 0.5;
const LONGEST_WAIT_S = 8;
/** Seconds that an answer may take, and bytes a second that a slow network still carries. */
const PATIENCE_S = 30;
const SLOWEST = 50_000;

/**
 * @typedef {object} Surroundings What is replaced in tests.
 * @property {typeof fetch} fetch
 * @property {(seconds: number) => Promise<void>} sleep
 * @property {(words: string) => void} onWaiting Told that the host does not answer; "" when it does.
 */

/**
 * A random name of this tab. It survives a reload, and a crash in the same tab.
 *
 * @param {Pick<Storage, "getItem" | "setItem">} storage
 * @param {() => string} random
 * @returns {string}
 */
export function pageId(storage, random = randomName) {
  const known = storage.getItem("resnet-edge-page");
  if (known) return known;
  const made = random();
  storage.setItem("resnet-edge-page", made);
  return made;
}

/** @returns {string} `crypto.randomUUID` is missing on plain http. */
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Host {
  /**
   * @param {string} page From `pageId`.
   * @param {Partial<Surroundings>} surroundings
   */
  constructor(page, surroundings = {}) {
    this.page = page;
    this.fetch = surroundings.fetch ?? globalThis.fetch.bind(globalThis);
    this.sleep =
      surroundings.sleep ?? ((seconds) => new Promise((go) => setTimeout(go, seconds * 1000)));
    this.onWaiting = surroundings.onWaiting ?? (() => {});
    this.stopped = false;
  }

  /** End every wait with `Stopped`. */
  stop() {
    this.stopped = true;
  }

  /** @returns {Promise<Plan>} */
  async plan() {
    const plan = await this.#persist("./plan.json", { cache: "no-store" });
    if (plan.schema !== 1) {
      throw new Error(
        `the host's plan has schema ${plan.schema}; this page reads 1; reload the page`,
      );
    }
    return plan;
  }

  /**
   * Send a message, and send it again until the host answers.
   *
   * @param {string} name "look", "begin", "started", "row" or "failed".
   * @param {object} message
   * @returns {Promise<any>} The answer.
   * @throws {HostError} The host refuses it.
   * @throws {Stopped} `stop` was called while the host did not answer.
   */
  async send(name, message) {
    return this.#persist(`./${name}`, this.#post(message));
  }

  /**
   * Say that this page lives. Sent once: the next one follows soon.
   *
   * @param {boolean} hidden
   * @returns {Promise<void>}
   * @throws {HostError} The host has nothing more for this page; other errors are kept quiet.
   */
  async alive(hidden) {
    try {
      await this.#once("./alive", this.#post({ page: this.page, hidden }));
    } catch (problem) {
      if (problem instanceof HostError && problem.isFinal) throw problem;
    }
  }

  /**
   * Say that nothing more will come. Sent once: if it is lost, the host sees that the page is silent.
   *
   * @param {string} reason
   * @returns {Promise<void>}
   */
  async giveUp(reason) {
    await this.#once("./give_up", this.#post({ page: this.page, reason }));
  }

  /**
   * Say while the page is being closed that it goes on purpose.
   *
   * @param {string | null} job The one that runs.
   * @param {Pick<Navigator, "sendBeacon">} navigator
   */
  leaving(job, navigator) {
    const body = JSON.stringify({ page: this.page, job });
    navigator.sendBeacon("./leaving", new Blob([body], { type: "application/json" }));
  }

  /**
   * @param {object} message
   * @returns {RequestInit}
   */
  #post(message) {
    const body = JSON.stringify(message);
    return { method: "POST", headers: { "Content-Type": "application/json" }, body };
  }

  /**
   * @param {string} address
   * @param {RequestInit} request
   * @returns {Promise<any>}
   */
  async #persist(address, request) {
    let wait = FIRST_WAIT_S;
    for (let waited = 0; ;) {
      try {
        const answer = await this.#once(address, request);
        if (waited) this.onWaiting("");
        return answer;
      } catch (problem) {
        if (problem instanceof HostError && problem.status < 500) {
          if (waited) this.onWaiting("");
          throw problem;
        }
        if (this.stopped) throw new Stopped();
        const reason = problem instanceof HostError ? `: ${problem.message}` : "";
        this.onWaiting(
          `the host does not answer${reason}; trying again (for ${Math.round(waited)} s so far); nothing is lost ` +
            "while this page stays open",
        );
      }
      await this.sleep(wait);
      waited += wait;
      wait = Math.min(2 * wait, LONGEST_WAIT_S);
    }
  }

  /**
   * @param {string} address
   * @param {RequestInit} request
   * @returns {Promise<any>}
   */
  async #once(address, request) {
    const size = typeof request.body === "string" ? request.body.length : 0;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), (PATIENCE_S + size / SLOWEST) * 1000);
    try {
      const response = await this.fetch(address, { ...request, signal: abort.signal });
      const answer = await response.json().catch((/** @type {unknown} */ problem) => {
        if (response.ok) throw problem;
        return {};
      });
      if (response.ok) return answer;
      const words = answer.error ?? `the host answered with status ${response.status}`;
      throw new HostError(words, response.status, answer.gone === true);
    } finally {
      clearTimeout(timer);
    }
  }
}
