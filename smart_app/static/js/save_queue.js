// Saves one change after the other, the newest of a line only, and keeps what could not be saved.

import { request } from "./tab.js";

const RETRY_MILLISECONDS = 5000;

export class SaveQueue {
  /** version: of the draft as the page shows it; each save answers the next one. */
  constructor(version, listener) {
    this.version = version;
    this.listener = listener;
    this.entries = [];
    this.busy = false;
    this.halted = false;
    this.wake = () => this.run();
    window.addEventListener("online", this.wake);
  }

  get pending() {
    return this.busy || this.entries.length > 0;
  }

  holds(key) {
    return this.entries.some((entry) => entry.key === key);
  }

  add(entry) {
    this.entries = this.entries.filter((waiting) => waiting.key !== entry.key);
    this.entries.push(entry);
    this.run();
  }

  /** After a conflict: go on, with the entry again (knowing the other person's version) or without it. */
  resume(entry = null) {
    this.halted = false;
    if (entry && !this.holds(entry.key)) this.entries.unshift(entry);
    this.run();
  }

  stop() {
    window.removeEventListener("online", this.wake);
    window.clearTimeout(this.timer);
    this.halted = true;
  }

  async run() {
    window.clearTimeout(this.timer);
    if (this.busy || this.halted || !this.entries.length) return;
    this.busy = true;
    const entry = this.entries.shift();
    this.listener.saving();
    entry.fields.set("version", this.version);
    let answer = null;
    let status = 0;
    try {
      const response = await request(entry.url, {
        method: "POST",
        body: entry.fields,
        headers: { Accept: "application/json" },
      });
      status = response.status;
      const isJson = (response.headers.get("Content-Type") || "").startsWith("application/json");
      answer = isJson ? await response.json() : null;
    } catch {
      status = 0;
    }
    this.busy = false;
    this.settle(entry, status, answer);
  }

  settle(entry, status, answer) {
    if (status === 200 && answer) {
      this.version = answer.version;
      this.listener.online();
      this.listener.saved(answer, entry);
      this.run();
    } else if (status === 409 && answer) {
      this.version = answer.version;
      this.halted = true;
      this.listener.conflict(answer, entry);
    } else if (status === 0 || status === 429 || status >= 500) {
      if (!this.holds(entry.key)) this.entries.unshift(entry);
      this.listener.offline();
      this.timer = window.setTimeout(this.wake, RETRY_MILLISECONDS);
    } else {
      // Refused for good (the session ended, the form is stale): the server's own page says it best.
      this.entries = [];
      this.listener.refused(status);
    }
  }
}
