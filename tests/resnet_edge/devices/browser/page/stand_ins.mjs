/** Stand-ins for what a browser has and node has not. */

/** A clock that a test moves, in milliseconds; `step` rounds down what is read, as browsers do. */
export function fakeClock(step = 0) {
  const clock = { ms: 1000, read: () => (step ? Math.floor(clock.ms / step) * step : clock.ms) };
  return clock;
}

/** The few parts of the DOM that the page uses to make elements. */
export class StandInDocument {
  createElement(tag) {
    return new StandInElement(tag);
  }
}

export class StandInElement {
  constructor(tag) {
    this.tag = tag;
    this.attributes = {};
    this.children = [];
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  append(...children) {
    this.children.push(...children);
  }

  /** The text of it and of all within it, as a person reads it. */
  get text() {
    return this.children.map((child) => (typeof child === "string" ? child : child.text)).join(" ");
  }

  /** All elements within it with a tag. */
  all(tag) {
    return this.children
      .filter((child) => typeof child !== "string")
      .flatMap((child) => [...(child.tag === tag ? [child] : []), ...child.all(tag)]);
  }
}

/** Timers that a test fires. */
export function fakeTimers() {
  const waiting = new Map();
  let next = 1;
  return {
    waiting,
    setTimeout(run, ms) {
      waiting.set(next, { run, ms });
      return next++;
    },
    clearTimeout(timer) {
      waiting.delete(timer);
    },
    fire() {
      const [[timer, { run, ms }]] = waiting;
      waiting.delete(timer);
      run();
      return ms;
    },
  };
}

/** A worker that follows a script: a function that is called with the work and a way to speak. */
export class FakeWorker {
  terminated = false;
  onmessage = null;
  onerror = null;
  onmessageerror = null;

  constructor(script) {
    this.script = script;
    queueMicrotask(() => this.tell({ kind: "ready" }));
  }

  tell(data) {
    if (!this.terminated) this.onmessage?.({ data });
  }

  postMessage(work) {
    queueMicrotask(() => this.script(work, (data) => this.tell(data), this));
  }

  terminate() {
    this.terminated = true;
  }
}

export function job(changes = {}) {
  return {
    id: "int8.tflite/litert-wasm/2",
    artifact: "int8.tflite",
    backend: "litert-wasm",
    title: "LiteRT.js wasm",
    threads: 2,
    answers: true,
    not_timed: "",
    state: "waiting",
    words: "",
    result: null,
    ...changes,
  };
}
