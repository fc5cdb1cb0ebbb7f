/** Does the host's jobs one after another, and brings every outcome to the host. */

import { HostError, Stopped } from "./host.js";
import { JobFailed, runJob } from "./one_job.js";
import { reasonOf } from "./reasons.js";

/** Seconds between two tries while another page measures. */
const BUSY_S = 3;

/** @typedef {import("./host.js").Job} Job */
/** @typedef {import("./answering.js").Measured & {page: string, job: string, hidden: boolean}} Row */
/** @typedef {{job: string, reason: string, stage: string}} Failure */

/**
 * @typedef {object} Show What is told while it runs; the runner knows no page.
 * @property {(jobs: Job[], running: string | null) => void} jobs
 * @property {(job: Job, stage: string, done: number, of: number) => void} progress
 * @property {(words: string) => void} waiting "" when there is nothing to wait for.
 */

/**
 * @typedef {object} Means What the runner works with; replaced in tests.
 * @property {import("./host.js").Host} host
 * @property {import("./features.js").Facts} facts
 * @property {(job: Job, progress: (done: number, of: number) => void, signal: AbortSignal) =>
 *     Promise<import("./answering.js").Work>} work Fetches what the job needs.
 * @property {(job: Job) => import("./one_job.js").WorkerLike} makeWorker
 * @property {{begin: () => void, hidden: () => boolean}} visibility Whether the page was hidden since.
 * @property {Show} show
 * @property {import("./one_job.js").Timers} [timers]
 */

export class Runner {
  #abort = new AbortController();

  /** @param {Means} means */
  constructor(means) {
    this.means = means;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Failure[]} */
    this.failed = [];
    /** @type {Job[]} */
    this.jobs = [];
    /** @type {Job | null} */
    this.running = null;
    /** The result's name on the host; "" as long as there is none. */
    this.result = "";
  }

  /** End with `Stopped`: the worker is ended, waits are cut short. */
  stop() {
    this.#abort.abort();
    this.means.host.stop();
  }

  /**
   * Do all jobs.
   *
   * @throws {HostError} The host has nothing more for this page.
   * @throws {Stopped}
   */
  async run() {
    const { show } = this.means;
    this.#take(await this.#begin());
    for (let job = this.#next(); job; job = this.#next()) {
      await this.#one(job);
      this.running = null;
      show.jobs(this.jobs, null);
    }
  }

  /** @returns {Promise<any>} The host's answer, once no other page measures. */
  async #begin() {
    const { host, facts, show } = this.means;
    for (;;) {
      try {
        const answer = await host.send("begin", { page: host.page, facts });
        show.waiting("");
        return answer;
      } catch (problem) {
        if (!(problem instanceof HostError && problem.isBusy)) throw problem;
        show.waiting(problem.message);
      }
      await host.sleep(BUSY_S);
      if (this.#abort.signal.aborted) throw new Stopped();
    }
  }

  /** @returns {Job | undefined} */
  #next() {
    if (this.#abort.signal.aborted) throw new Stopped();
    return this.jobs.find((job) => job.state === "waiting");
  }

  /** @param {Job} job */
  async #one(job) {
    const { host, show, visibility } = this.means;
    this.running = job;
    show.jobs(this.jobs, job.id);
    await host.send("started", { page: host.page, job: job.id });
    visibility.begin();
    try {
      const measured = await this.#measure(job);
      const row = { page: host.page, job: job.id, ...measured, hidden: visibility.hidden() };
      this.rows.push(row);
      this.#take(await host.send("row", row));
    } catch (problem) {
      if (problem instanceof Stopped) throw problem;
      if (problem instanceof HostError && (problem.isFinal || problem.isBusy)) throw problem;
      const failure = asFailure(job, problem);
      this.failed.push(failure);
      this.#take(await host.send("failed", { page: host.page, ...failure }));
    }
  }

  /**
   * @param {Job} job
   * @returns {Promise<import("./answering.js").Measured>}
   */
  async #measure(job) {
    const { work, makeWorker, show, timers } = this.means;
    const signal = this.#abort.signal;
    const needed = await work(job, (done, of) => show.progress(job, "fetch", done, of), signal);
    show.progress(job, "load", 0, 0);
    const progress = (
      /** @type {string} */ stage,
      /** @type {number} */ done,
      /** @type {number} */ of,
    ) => show.progress(job, stage, done, of);
    return runJob(() => makeWorker(job), needed, progress, signal, timers);
  }

  /** @param {import("./host.js").Reply} reply The newest list of jobs is the one that holds. */
  #take(reply) {
    if (reply.jobs) this.jobs = reply.jobs;
    if (reply.result) this.result = reply.result;
  }
}

/**
 * @param {Job} job
 * @param {unknown} problem
 * @returns {Failure}
 */
function asFailure(job, problem) {
  if (problem instanceof JobFailed) {
    return { job: job.id, reason: problem.message, stage: problem.stage };
  }
  if (problem instanceof HostError) {
    return {
      job: job.id,
      reason: `the host refuses the row: ${problem.message}`,
      stage: "latency",
    };
  }
  return { job: job.id, reason: reasonOf(problem), stage: "load" };
}
