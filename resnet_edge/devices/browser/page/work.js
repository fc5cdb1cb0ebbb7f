/** Gathers what a worker needs for a job. */

import { fetchFile } from "./files.js";

/** @typedef {import("./host.js").Job} Job */

export class Workshop {
  /** @type {{name: string, blob: Blob} | null} Jobs of one file follow one another. */
  #artifact = null;
  /** @type {Blob | null} */
  #pictures = null;

  /**
   * @param {import("./host.js").Plan} plan
   * @param {number} clockStep Seconds.
   * @param {typeof fetchFile} fetch
   */
  constructor(plan, clockStep, fetch = fetchFile) {
    this.plan = plan;
    this.clockStep = clockStep;
    this.fetch = fetch;
  }

  /**
   * @param {Job} job
   * @param {(done: number, of: number) => void} progress
   * @param {AbortSignal} signal
   * @returns {Promise<import("./answering.js").Work>}
   */
  async work(job, progress, signal) {
    const { pictures, classes, spec } = this.plan;
    const file = this.plan.artifacts.find(({ name }) => name === job.artifact);
    if (!file) throw new Error(`the host's plan has no file ${job.artifact}; reload the page`);
    this.#pictures ??= await this.fetch(
      pictures.address,
      pictures.bytes,
      (done) => progress(done, pictures.bytes),
      {
        signal,
      },
    );
    if (this.#artifact?.name !== file.name) {
      this.#artifact = null; // two of them may not fit
      const blob = await this.fetch(
        file.address,
        file.bytes,
        (done) => progress(done, file.bytes),
        { signal },
      );
      this.#artifact = { name: file.name, blob };
    }
    const { count, height, width } = pictures;
    return {
      job,
      artifact: this.#artifact.blob,
      inputType: file.input_dtype,
      pictures: this.#pictures,
      count,
      height,
      width,
      classes,
      spec,
      clockStep: this.clockStep,
    };
  }
}
