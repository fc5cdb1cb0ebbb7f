/** The page's parts that change. It shows, and decides nothing. */

import { element } from "./dom.js";
import { factsInWords } from "./features.js";
import { tableBody, tableHead } from "./table.js";
import { bytesInWords, counted, sentence } from "./words.js";

/** @typedef {import("./host.js").Job} Job */

/** @type {Record<string, string>} */
const STAGES = {
  fetch: "fetching",
  load: "loading",
  answers: "answering pictures",
  latency: "timing single queries",
};

export class View {
  /** @param {Document} document */
  constructor(document) {
    this.document = document;
    this.find("rows").append(tableHead(document));
    /** @type {Map<string, {shown: string, body: HTMLElement}>} */
    this.bodies = new Map();
    this.said = "";
  }

  /**
   * @param {string} id
   * @returns {HTMLElement}
   */
  find(id) {
    const found = this.document.getElementById(id);
    if (!found) throw new Error(`the page has no element ${id}`);
    return found;
  }

  /**
   * @param {string} id
   * @param {string} words Hides the element where they are empty.
   */
  words(id, words) {
    const found = this.find(id);
    found.textContent = words;
    found.hidden = words === "";
  }

  /** @param {import("./host.js").Plan} plan */
  plan(plan) {
    this.words("model", `${plan.model} in this browser`);
    this.words("note", plan.host.note);
    this.words("made-by", plan.made_by);
  }

  /** @param {import("./features.js").Facts} facts */
  facts(facts) {
    const parts = factsInWords(facts).flatMap(([name, value]) => [
      element(this.document, "dt", {}, name),
      element(this.document, "dd", {}, value),
    ]);
    this.find("facts").replaceChildren(...parts);
  }

  /**
   * @param {import("./host.js").Plan} plan
   * @param {import("./host.js").Look} look
   */
  look(plan, { jobs, left_out, bytes }) {
    const files = new Set(jobs.map((job) => job.artifact)).size;
    const minutes = Math.ceil((jobs.length * plan.spec.min_seconds) / 60);
    this.words(
      "what",
      jobs.length
        ? `${counted(files, "file")} in ${counted(jobs.length, "measurement")}: answers to ` +
            `${counted(plan.pictures.count, "picture")}, then the time of single queries. ` +
            `Up to ${bytesInWords(bytes)} are fetched from the host; it takes ${counted(minutes, "minute")} or more. ` +
            "Everything stays between this browser and the host."
        : "This browser can run none of the files; the reasons stand below.",
    );
    this.find("left-out-section").hidden = left_out.length === 0;
    this.find("left-out").replaceChildren(
      ...byReason(left_out).map(([reason, names]) =>
        element(
          this.document,
          "li",
          {},
          element(this.document, "b", {}, reason),
          `: ${names.join(", ")}`,
        ),
      ),
    );
    this.jobs(jobs, null);
  }

  /**
   * @param {Job[]} jobs
   * @param {string | null} running
   */
  jobs(jobs, running) {
    const table = this.find("rows");
    if ([...this.bodies.keys()].join() !== jobs.map((job) => job.id).join()) {
      for (const { body } of this.bodies.values()) body.remove();
      this.bodies.clear();
    }
    for (const job of jobs) {
      const shown = JSON.stringify([job, job.id === running]);
      const known = this.bodies.get(job.id);
      if (known?.shown === shown) continue;
      const body = tableBody(this.document, job, running);
      if (known) known.body.replaceWith(body);
      else table.append(body);
      this.bodies.set(job.id, { shown, body });
    }
    this.find("table-section").hidden = jobs.length === 0;
    const done = jobs.filter((job) => job.state !== "waiting").length;
    this.#bar("all", done, jobs.length);
    this.words("all-words", `${done} of ${counted(jobs.length, "measurement")}`);
  }

  /**
   * @param {Job} job
   * @param {string} stage
   * @param {number} done
   * @param {number} of 0 where it is not known.
   */
  progress(job, stage, done, of) {
    const threads = job.backend.endsWith("wasm") ? `, ${counted(job.threads, "thread")}` : "";
    this.say(`${job.artifact} in ${job.title}${threads}: ${STAGES[stage] ?? stage}`);
    this.#bar("now", done, of);
    this.words("now-words", amount(stage, done, of));
  }

  /**
   * What a screen reader reads out; not at each picture.
   *
   * @param {string} words
   */
  say(words) {
    if (words === this.said) return;
    this.said = words;
    this.words("status", words);
  }

  /** @param {string} words What is waited for; "" for nothing. */
  waiting(words) {
    this.words("waiting", sentence(words));
  }

  /** @param {boolean} measuring */
  measuring(measuring) {
    this.find("measure").hidden = measuring;
    this.find("stop").hidden = !measuring;
    this.find("progress").hidden = !measuring;
  }

  /**
   * The end, in a box of its own.
   *
   * @param {"is-pass" | "is-fail" | "is-inconclusive"} kind
   * @param {string} title
   * @param {string} words
   */
  end(kind, title, words) {
    const box = this.find("end");
    box.setAttribute("class", `overall ${kind}`);
    box.replaceChildren(
      element(this.document, "strong", {}, title),
      element(this.document, "span", {}, sentence(words)),
    );
    box.hidden = false;
  }

  /**
   * @param {string} id
   * @param {number} done
   * @param {number} of
   */
  #bar(id, done, of) {
    const bar = this.find(id);
    bar.setAttribute("max", String(of || 1));
    if (of) bar.setAttribute("value", String(done));
    else bar.removeAttribute("value"); // it moves, and says nothing
  }
}

/**
 * @param {string} stage
 * @param {number} done
 * @param {number} of
 */
function amount(stage, done, of) {
  if (!of) return "";
  if (stage === "fetch") return `${bytesInWords(done)} of ${bytesInWords(of)}`;
  if (stage === "latency") return `${done.toFixed(1)} of ${of} s`;
  return `${done} of ${counted(of, "picture")}`;
}

/**
 * @param {import("./host.js").LeftOut[]} leftOut
 * @returns {[string, string[]][]} Each reason once, with all that it keeps out.
 */
export function byReason(leftOut) {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const { name, reason } of leftOut) found.set(reason, [...(found.get(reason) ?? []), name]);
  return [...found];
}
