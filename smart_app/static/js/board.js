// The reconciliation board: decisions appear at once, are saved one after the other, and can be undone.
// Every word on the page comes from the server; this module only moves it about.

import { BoardKeys } from "./board_keys.js";
import { CardView } from "./board_card.js";
import { SaveQueue } from "./save_queue.js";
import { announce, offline } from "./page.js";
import { reload } from "./tab.js";

let current = null;

export function start() {
  const element = document.getElementById("board-data") && document.getElementById("board");
  if (!element) {
    current?.stop();
    current = null;
    return;
  }
  if (current?.element === element) return;
  current?.stop();
  current = new Board(element);
}

window.addEventListener("beforeunload", (event) => {
  if (current?.queue.pending) event.preventDefault();
});

class Board {
  constructor(element) {
    this.element = element;
    this.data = JSON.parse(document.getElementById("board-data").textContent);
    this.cards = [...element.querySelectorAll("[data-card]")].map((card) => new CardView(card, this.data));
    this.byId = new Map(this.cards.map((card) => [card.element.id, card]));
    this.history = [];
    this.stale = "";
    const version = element.querySelector("input[name=version]");
    this.queue = new SaveQueue(version ? version.value : "", {
      saving: () => this.showSaved(this.data.words.saving),
      saved: (answer, entry) => this.saved(answer, entry),
      conflict: (answer, entry) => this.conflict(answer, entry),
      refused: () => reload(),
      offline: () => {
        this.showSaved(this.data.words.unsaved, true);
        offline(this.data.words.offline);
      },
      online: () => offline(""),
    });
    this.keys = new BoardKeys(this);
    this.abort = new AbortController();
    const listen = { signal: this.abort.signal };
    element.addEventListener("submit", (event) => this.submit(event), listen);
    element.addEventListener("change", (event) => this.changed(event), listen);
    document.getElementById("conflict").addEventListener("click", (event) => this.resolve(event), listen);
    for (const link of document.querySelectorAll("[data-jump]")) {
      link.addEventListener("click", (event) => this.jump(event, link.dataset.jump), listen);
    }
    const help = document.getElementById("keys");
    document.getElementById("keys-open").addEventListener("click", () => help.showModal(), listen);
    element.dataset.ready = ""; // From here on letters and buttons are answered by this page itself.
  }

  stop() {
    this.abort.abort();
    this.keys.stop();
    this.queue.stop();
  }

  cardAt(node) {
    return this.byId.get(node.closest?.("[data-card]")?.id);
  }

  submit(event) {
    const form = event.target;
    if (form.id === "accept-same") {
      event.preventDefault();
      this.acceptSame();
      return;
    }
    const card = this.cardAt(form);
    if (!card) return;
    event.preventDefault();
    if (event.submitter?.name === "kind") this.decide(card, event.submitter.value);
    else this.keep(card);
  }

  /** A decision was chosen. Choosing the same again changes nothing. */
  decide(card, kind) {
    if (card.kind === kind) {
      card.focusField();
      return;
    }
    const before = card.state();
    card.choose(kind);
    this.history.push({ cards: [[card, before]] });
    this.send(card);
    if (kind) card.focusField();
    else announce(`${card.name}: ${this.data.words.reopened}`);
  }

  /** A field of a decision was filled in. */
  changed(event) {
    const card = this.cardAt(event.target);
    if (card?.kind && event.target.closest("[data-field]")) this.keep(card);
  }

  keep(card) {
    if (!card.kind || !card.isDirty()) return;
    this.history.push({ cards: [[card, card.lastSent]] });
    this.send(card);
  }

  send(card) {
    card.lastSent = card.state();
    this.queue.add({ key: card.element.id, url: card.form.action, fields: card.fields(), card });
  }

  acceptSame() {
    const form = document.getElementById("accept-same");
    if (!form || form.querySelector("button").disabled) return;
    this.queue.add({ key: "accept-same", url: form.action, fields: new URLSearchParams(new FormData(form)), bulk: true });
  }

  undo() {
    const last = this.history.pop();
    if (!last) {
      announce(this.data.words.nothing_to_undo);
      return;
    }
    if (last.bulk) {
      const form = document.getElementById("accept-same");
      const fields = new URLSearchParams(new FormData(form));
      for (const [card, before] of last.cards) {
        card.restore(before);
        fields.append("remove", card.group);
      }
      this.queue.add({ key: "accept-same", url: form.action, fields });
    } else {
      for (const [card, before] of last.cards) {
        card.restore(before);
        this.send(card);
        card.element.focus();
      }
    }
  }

  saved(answer, entry) {
    document.getElementById("count").textContent = answer.count;
    const progress = document.getElementById("progress");
    progress.max = Math.max(answer.total, 1);
    progress.value = answer.decided;
    this.showSaved(answer.saved);
    document.getElementById("why-not-sign").textContent = answer.why;
    this.showSign(answer.complete);
    if (entry.bulk) {
      const accepted = Object.entries(answer.accepted).map(([id, kind]) => [this.byId.get(id), kind]);
      this.history.push({ bulk: true, cards: accepted.map(([card]) => [card, card.state()]) });
      for (const [card, kind] of accepted) {
        card.choose(kind);
        card.lastSent = card.state();
      }
    }
    const open = new Set(answer.open);
    for (const card of this.cards) {
      if (!this.queue.holds(card.element.id)) card.settle(!open.has(card.element.id), answer.faults[card.element.id] || "");
    }
    this.showBulk();
    announce(`${answer.count}. ${answer.saved}`);
    this.stale = this.stale || answer.taken_over;
    this.refresh();
  }

  /** Show what others decided, once nothing of ours would be lost by it. */
  refresh() {
    if (!this.stale || this.queue.pending || this.cards.some((card) => card.isDirty())) return;
    const words = this.stale;
    reload().then(() => announce(words));
  }

  showSaved(words, bad = false) {
    const saved = document.getElementById("saved");
    saved.textContent = words;
    saved.classList.toggle("bad", bad);
  }

  showSign(complete) {
    const sign = document.getElementById("sign");
    if (!sign) return;
    if (complete) {
      sign.href = sign.dataset.href;
      for (const name of ["role", "aria-disabled", "tabindex"]) sign.removeAttribute(name);
    } else {
      sign.removeAttribute("href");
      sign.setAttribute("role", "link");
      sign.setAttribute("aria-disabled", "true");
      sign.tabIndex = 0;
    }
  }

  showBulk() {
    const button = document.querySelector("#accept-same button");
    if (!button) return;
    const count = this.cards.filter((card) => "bulk" in card.element.dataset && !card.kind).length;
    button.disabled = count === 0;
    const words = this.data.words;
    button.querySelector("[data-words]").textContent =
      count === 0 ? words.all_accepted : count === 1 ? words.accept_one : words.accept_many.replace("{count}", count);
  }

  conflict(answer, entry) {
    this.conflicted = entry;
    this.showSaved(this.data.words.unsaved, true);
    document.getElementById("conflict").innerHTML = answer.panel;
    document.getElementById("conflict-panel").focus();
  }

  resolve(event) {
    const take = event.target.closest("[data-take]")?.dataset.take;
    if (!take) return;
    document.getElementById("conflict").replaceChildren();
    const entry = this.conflicted;
    this.conflicted = null;
    if (take === "theirs") this.stale = this.data.words.theirs;
    this.queue.resume(take === "mine" ? entry : null);
    if (take === "theirs") this.refresh();
    else entry?.card?.element.focus();
  }

  /** To the next line with an alert of that severity, after the one that has the focus. */
  jump(event, severity) {
    const lines = this.cards.filter((card) => card.element.dataset.severities.split(" ").includes(severity));
    if (!lines.length) return;
    event.preventDefault();
    const at = lines.indexOf(this.lastJump);
    this.lastJump = lines[(at + 1) % lines.length];
    this.keys.focus(this.lastJump);
  }
}
