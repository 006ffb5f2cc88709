// The board by keyboard: arrows move between lines, letters decide the line that has the focus.
// Letters work only while the focus is on the board and not in a field (WCAG 2.1.4).

import { announce } from "./page.js";

const FALLBACK = { C: ["continue", "new"], S: ["stop", "not-taking"] };

export class BoardKeys {
  constructor(board) {
    this.board = board;
    this.abort = new AbortController();
    const listen = { signal: this.abort.signal };
    board.element.addEventListener("keydown", (event) => this.key(event), listen);
    board.element.addEventListener("focusin", (event) => this.rove(board.cardAt(event.target)), listen);
    const first = board.cards.find((card) => !card.kind) || board.cards[0];
    this.rove(first);
  }

  stop() {
    this.abort.abort();
  }

  /** One line of the board is in the tab order: the last one that had the focus. */
  rove(card) {
    if (!card) return;
    if (this.current) this.current.element.tabIndex = -1;
    this.current = card;
    card.element.tabIndex = 0;
  }

  focus(card) {
    if (!card) return;
    card.element.focus();
    card.element.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const card = this.board.cardAt(event.target);
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && card && event.target !== card.element) {
      this.focus(card);
      return;
    }
    if (typing) {
      if (event.key === "Enter" && card) {
        event.preventDefault();
        this.board.keep(card);
        this.focus(card);
      }
      return;
    }
    if (this.move(event, card) || this.letter(event, card)) event.preventDefault();
  }

  move(event, card) {
    const { cards } = this.board;
    const at = cards.indexOf(card);
    const moves = {
      ArrowDown: () => cards[at + 1],
      ArrowUp: () => cards[Math.max(at - 1, 0)],
      Home: () => cards[0],
      End: () => cards[cards.length - 1],
      ArrowRight: () => this.across(card, 1),
      ArrowLeft: () => this.across(card, -1),
    };
    if (!(event.key in moves)) return false;
    this.focus(moves[event.key]());
    return true;
  }

  /** The first open line of the neighbouring zone, else its first line. */
  across(card, step) {
    const zones = [...this.board.element.querySelectorAll(".zone")];
    let at = zones.indexOf(card.element.closest(".zone")) + step;
    for (; zones[at]; at += step) {
      const lines = this.board.cards.filter((other) => zones[at].contains(other.element));
      if (lines.length) return lines.find((line) => !line.kind) || lines[0];
    }
    return card;
  }

  letter(event, card) {
    const letter = event.key.length === 1 ? event.key.toUpperCase() : event.key;
    if (letter === "?") document.getElementById("keys").showModal();
    else if (letter === "U") this.board.undo();
    else if (letter === "A") this.board.acceptSame();
    else if (letter === "O") this.nextOpen(card);
    else if (letter === "Enter" && card && event.target === card.element) this.open(card);
    else return this.decide(letter, card);
    return true;
  }

  decide(letter, card) {
    if (!card?.enabled) return false;
    const named = Object.entries(this.board.data.keys).filter(([, key]) => key === letter).map(([kind]) => kind);
    const kind = (FALLBACK[letter] || named).find((candidate) => card.offers(candidate));
    if (!kind) return false;
    this.board.decide(card, kind);
    return true;
  }

  open(card) {
    if (card.focusField()) return;
    const original = card.element.querySelector("details.orig");
    original.open = !original.open;
  }

  nextOpen(card) {
    const { cards } = this.board;
    const at = cards.indexOf(card);
    const next = [...cards.slice(at + 1), ...cards.slice(0, at + 1)].find((line) => !line.element.classList.contains("done"));
    if (next) this.focus(next);
    else announce(this.board.data.words.nothing_open);
  }
}
