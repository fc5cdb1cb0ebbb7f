/**
 * Measures the latency of single queries, one after another, like `resnet_edge/ondevice/latency/measure.py`.
 *
 * Browsers coarsen their clock, some to 16 ms. Where its step is too large for one query, a sample is
 * the mean of several.
 */

/** Queries whose median is compared with the median of as many before them. */
export const WINDOW = 5;
/** Largest relative change of that median in a warm-up that is called stable. */
export const STABLE = 0.05;
/** Largest share of a sample that the clock's step may be. */
export const STEP_SHARE = 0.01;
/** Most queries in one sample: beyond it a sample no longer says anything of a single query. */
export const MAX_QUERIES_PER_SAMPLE = 256;
/** Longest time in seconds between two queries, where nothing but a list is written. */
export const GAP_S = 1;
/** A query longer than this many medians, and than `JUMP_S`, is a sleep of the machine, no latency. */
export const JUMP_RATIO = 100;
export const JUMP_S = 10;
/** Queries after which a clock that has not moved counts as standing still. */
const STUCK = 20_000;

/**
 * @typedef {object} Spec How long to measure.
 * @property {number} min_seconds Seconds of inference, at least.
 * @property {number} min_queries Samples, at least.
 * @property {number} max_warmup_s Seconds of the warm-up, at most.
 */

/**
 * @typedef {object} Timing What was measured; times in seconds.
 * @property {number} warmup Queries before the samples.
 * @property {boolean} settled True if the warm-up had become stable when it ended.
 * @property {number[]} samples_s Empty where no latency could be measured.
 * @property {number} queries_per_sample
 * @property {number} seconds Of inference, in all samples together.
 * @property {string} latency_note Why there are no samples; "" where there are.
 */

/** The times are no latency; the message is the sentence for people. */
class NoLatency extends Error {}

/**
 * @param {readonly number[]} values At least one.
 * @returns {number} The median.
 */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Time queries, each begun when the one before has ended; the first query of all is the caller's.
 *
 * @param {() => Promise<unknown>} query Answers one query; resolves only when the answer is there.
 * @param {Spec} spec How long to measure.
 * @param {() => number} clock Milliseconds of a clock that only goes forward.
 * @param {number} step The clock's step in seconds.
 * @param {(seconds: number) => void} progress Told the seconds of inference so far.
 * @returns {Promise<Timing>} The samples, or the sentence that says why there are none.
 */
export async function measure(query, spec, clock, step, progress = () => {}) {
  const timing = untimed("");
  try {
    const stopwatch = new Stopwatch(query, clock, progress);
    const seen = await warmUp(stopwatch, spec.max_warmup_s, timing);
    timing.queries_per_sample = queriesPerSample(seen, step);
    timing.samples_s = await sample(stopwatch, spec, timing);
    refuseJumps(seen, timing.samples_s);
  } catch (problem) {
    if (!(problem instanceof NoLatency)) throw problem;
    timing.samples_s = [];
    timing.latency_note = problem.message;
  }
  return timing;
}

/**
 * @param {string} note Why there are no samples.
 * @returns {Timing} Nothing measured.
 */
export function untimed(note) {
  return {
    warmup: 0,
    settled: false,
    samples_s: [],
    queries_per_sample: 1,
    seconds: 0,
    latency_note: note,
  };
}

/**
 * How many queries make one sample, so that the clock's step is at most `STEP_SHARE` of it.
 *
 * @param {readonly number[]} seen Seconds of the warm-up's queries.
 * @param {number} step The clock's step in seconds.
 * @returns {number}
 */
export function queriesPerSample(seen, step) {
  // Below the clock's step single times are 0 or one step: only their sum is right.
  const middle = median(seen);
  const typical = middle > step ? middle : seen.reduce((sum, s) => sum + s, 0) / seen.length;
  if (!(typical > 0)) throw new NoLatency("the clock stood still; no latency can be measured here");
  if (step <= STEP_SHARE * typical) return 1;
  const queries = Math.ceil(step / (STEP_SHARE * typical));
  if (queries > MAX_QUERIES_PER_SAMPLE) {
    throw new NoLatency(
      `the clock steps by ${words(step)}, and a query takes ${words(typical)}: a sample would need ` +
        `${queries} queries, at most ${MAX_QUERIES_PER_SAMPLE} are taken; ` +
        "serve over https or from this machine itself for a finer clock",
    );
  }
  return queries;
}

/** Times blocks of queries and looks after the clock. */
class Stopwatch {
  /**
   * @param {() => Promise<unknown>} query
   * @param {() => number} clock
   * @param {(seconds: number) => void} progress
   */
  constructor(query, clock, progress) {
    this.query = query;
    this.clock = clock;
    this.progress = progress;
    this.last = clock();
  }

  /**
   * @param {number} queries Run one after another.
   * @param {number} before Seconds of inference before it, for the progress.
   * @returns {Promise<number>} Seconds of all of them; 0 where the clock did not move.
   */
  async time(queries, before) {
    const start = this.clock();
    for (let i = 0; i < queries; i++) await this.query();
    const end = this.clock();
    if (start < this.last || end < start) {
      throw new NoLatency(
        `the clock went from ${this.last} to ${start} to ${end} ms around a query; measure again`,
      );
    }
    const gap = (start - this.last) / 1000;
    if (gap > GAP_S) {
      throw new NoLatency(
        `${words(gap)} passed between two queries: the browser or the machine was put ` +
          "to sleep; keep the tab in front and measure again",
      );
    }
    this.last = end;
    this.progress(before + (end - start) / 1000);
    return (end - start) / 1000;
  }
}

/**
 * @param {Stopwatch} stopwatch
 * @param {number} maxSeconds
 * @param {Timing} timing Its warm-up is filled in.
 * @returns {Promise<number[]>} Seconds of each query.
 */
async function warmUp(stopwatch, maxSeconds, timing) {
  /** @type {number[]} */
  const seen = [];
  let total = 0;
  do {
    seen.push(await stopwatch.time(1, 0));
    total += seen[seen.length - 1];
    timing.warmup = seen.length;
    if (total === 0 && seen.length >= STUCK) break;
    if (seen.length < 2 * WINDOW) continue;
    const before = median(seen.slice(-2 * WINDOW, -WINDOW));
    const now = median(seen.slice(-WINDOW));
    timing.settled = now > 0 && Math.abs(now - before) <= STABLE * now;
  } while (!timing.settled && total < maxSeconds);
  return seen;
}

/**
 * @param {Stopwatch} stopwatch
 * @param {Spec} spec
 * @param {Timing} timing Has the queries of one sample; its seconds are filled in.
 * @returns {Promise<number[]>} Seconds of one query in each sample.
 */
async function sample(stopwatch, spec, timing) {
  /** @type {number[]} */
  const samples = [];
  while (timing.seconds < spec.min_seconds || samples.length < spec.min_queries) {
    const seconds = await stopwatch.time(timing.queries_per_sample, timing.seconds);
    if (!(seconds > 0)) {
      throw new NoLatency(
        `a sample of ${timing.queries_per_sample} queries took no time at all by this clock; ` +
          "serve over https or from this machine itself for a finer clock",
      );
    }
    timing.seconds += seconds;
    samples.push(seconds / timing.queries_per_sample);
  }
  return samples;
}

/**
 * @param {readonly number[]} seen The warm-up's queries.
 * @param {readonly number[]} samples
 */
function refuseJumps(seen, samples) {
  const all = [...seen, ...samples];
  const longest = all.reduce((most, s) => Math.max(most, s), 0);
  const middle = median(all);
  if (longest > JUMP_S && longest > JUMP_RATIO * middle) {
    throw new NoLatency(
      `one query took ${words(longest)} where the median is ${words(middle)}: ` +
        "the browser or the machine was put to sleep; measure again",
    );
  }
}

/**
 * @param {number} seconds
 * @returns {string} For instance "16.7 ms".
 */
function words(seconds) {
  return seconds < 1
    ? `${Number((seconds * 1000).toPrecision(3))} ms`
    : `${Number(seconds.toPrecision(3))} s`;
}

/**
 * The smallest step of a clock, as the median of several.
 *
 * @param {() => number} clock Milliseconds.
 * @param {number} steps How many to watch.
 * @param {number} maxMs Give up after so many milliseconds, where at least one step was seen.
 * @returns {number} Seconds.
 */
export function clockStep(clock, steps = 25, maxMs = 100) {
  /** @type {number[]} */
  const seen = [];
  const begin = clock();
  let last = begin;
  for (let polls = 0; seen.length < steps && polls < 50_000_000; polls++) {
    const now = clock();
    if (now === last) continue;
    seen.push(now - last);
    last = now;
    if (now - begin > maxMs) break;
  }
  return seen.length ? median(seen) / 1000 : 0;
}
