/** Keeps the screen on, and remembers whether the page was hidden: what is hidden runs slower. */

export class Presence {
  #hidden = false;
  #wanted = false;

  /**
   * @param {any} document
   * @param {any} navigator
   * @param {(hidden: boolean) => void} onHidden
   */
  constructor(document, navigator, onHidden) {
    this.document = document;
    this.navigator = navigator;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#hidden = true;
      else if (this.#wanted) void this.keepScreenOn(); // the lock ends when the page is hidden
      onHidden(document.hidden);
    });
  }

  /** A job begins. */
  begin() {
    this.#hidden = this.document.hidden;
  }

  /** @returns {boolean} True if the page was hidden at any time since `begin`. */
  hidden() {
    return this.#hidden || this.document.hidden;
  }

  /** To be called in the click itself: some browsers give it then only. */
  async keepScreenOn() {
    this.#wanted = true;
    try {
      this.lock = await this.navigator.wakeLock?.request("screen");
    } catch {
      this.lock = undefined; // battery saving refuses it; it is a comfort only
    }
  }

  letScreenOff() {
    this.#wanted = false;
    void this.lock?.release();
  }
}
