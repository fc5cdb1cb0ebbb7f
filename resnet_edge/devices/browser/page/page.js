/** Puts the page together. */

import { collectFacts } from "./features.js";
import { Host, HostError, pageId, Stopped } from "./host.js";
import { Presence } from "./presence.js";
import { resultFile, save } from "./result_file.js";
import { Runner } from "./runner.js";
import { View } from "./view.js";
import { counted } from "./words.js";
import { Workshop } from "./work.js";

const ALIVE_MS = 3000;
/** The fragment of the address with which it begins by itself. */
const BY_ITSELF = "#measure";

const view = new View(document);
const host = new Host(pageId(sessionStorage), { onWaiting: (words) => view.waiting(words) });
/** @type {Runner | null} */
let runner = null;
let measuring = false;

const presence = new Presence(document, navigator, (hidden) => {
  if (!measuring) return;
  if (hidden) void host.alive(true).catch(() => {});
  view.words(
    "hidden",
    "The tab was hidden while it measured, which slows it down; keep it in front.",
  );
});

/** @returns {Promise<number>} Seconds. */
function workerClockStep() {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("clock_worker.js", import.meta.url));
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = () =>
      reject(new Error("this browser starts no workers, in which the files run"));
  });
}

/**
 * @param {import("./host.js").Job} job
 * @returns {Worker}
 */
function makeWorker(job) {
  const name = job.backend.startsWith("litert") ? "litert_worker.js" : "ort_worker.js";
  return new Worker(new URL(name, import.meta.url));
}

async function prepare() {
  const plan = await host.plan();
  view.plan(plan);
  const facts = await collectFacts(window, await workerClockStep());
  view.facts(facts);
  /** @type {import("./host.js").Look} */
  const look = await host.send("look", { facts });
  view.look(plan, look);
  const workshop = new Workshop(plan, facts.clock_step_s);
  const button = /** @type {HTMLButtonElement} */ (view.find("measure"));
  button.disabled = look.jobs.length === 0;
  const go = () => void measure(plan, facts, workshop);
  button.addEventListener("click", go);
  if (location.hash === BY_ITSELF && look.jobs.length) go();
}

/**
 * @param {import("./host.js").Plan} plan
 * @param {import("./features.js").Facts} facts
 * @param {Workshop} workshop
 */
async function measure(plan, facts, workshop) {
  if (measuring) return;
  void presence.keepScreenOn();
  measuring = true;
  view.measuring(true);
  view.words("hidden", "");
  const current = new Runner({
    host,
    facts,
    work: (job, progress, signal) => workshop.work(job, progress, signal),
    makeWorker,
    visibility: presence,
    show: {
      jobs: (jobs, running) => view.jobs(jobs, running),
      progress: (job, stage, done, of) => view.progress(job, stage, done, of),
      waiting: (words) => view.waiting(words),
    },
  });
  runner = current;
  const alive = setInterval(() => {
    if (!current.jobs.length) return; // it waits until another page has ended
    host.alive(document.hidden).catch((problem) => {
      view.waiting(problem.message);
      current.stop();
    });
  }, ALIVE_MS);
  view.find("save").onclick = () =>
    save(document, resultFile(plan, facts, current.rows, current.failed));
  try {
    await current.run();
    ended(current);
  } catch (problem) {
    interrupted(problem);
  } finally {
    clearInterval(alive);
    presence.letScreenOff();
    measuring = false;
    view.measuring(false);
    // The host has ended; another try is a new page.
    view.find("measure").hidden = true;
    view.find("save-section").hidden = current.rows.length + current.failed.length === 0;
  }
}

/** @param {Runner} finished */
function ended({ jobs, result }) {
  const failed = jobs.filter((job) => job.state === "failed").length;
  const counts = `${counted(jobs.length - failed, "measurement")} made${failed ? `, ${failed} did not run` : ""}.`;
  const where = result ? ` The result is on the host: ${result}.` : " The host has the result.";
  view.end(
    failed ? "is-inconclusive" : "is-pass",
    "Done",
    `${counts}${where} This page can be closed.`,
  );
  view.say("Done");
}

/** @param {unknown} problem */
function interrupted(problem) {
  const { message } = /** @type {Error} */ (problem);
  if (problem instanceof Stopped) {
    view.end(
      "is-inconclusive",
      "Stopped",
      "What was measured until now is on the host, which has ended.",
    );
  } else if (problem instanceof HostError && problem.isFinal) {
    view.end("is-inconclusive", "Ended", message);
  } else {
    view.end("is-fail", "Not measured", message);
  }
  view.say("Ended");
}

view.find("stop").addEventListener("click", () => {
  runner?.stop();
  void host.giveUp("the person at the page pressed Stop").catch(() => {});
});
addEventListener("pagehide", () => {
  if (measuring) host.leaving(runner?.running?.id ?? null, navigator);
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // its connections and workers are gone
});
prepare().catch((problem) => {
  view.end("is-fail", "This page cannot measure", problem.message);
  view.waiting("");
});
