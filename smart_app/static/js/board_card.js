// One line of the board as the page holds it: its decision, its fields, and how both look.

export class CardView {
  constructor(element, data) {
    this.element = element;
    this.data = data;
    this.form = element.querySelector("form.decide");
    this.details = element.querySelector("[data-details]");
    this.group = this.form.elements.group.value;
    this.name = element.querySelector("[data-name]").textContent;
    this.kind = element.querySelector("button[aria-pressed=true]")?.value || "";
    this.lastSent = this.state();
  }

  get enabled() {
    return !this.form.querySelector("fieldset").disabled;
  }

  button(kind) {
    return this.form.querySelector(`button[name=kind][value="${kind}"]`);
  }

  /** Whether this kind of decision is offered here. */
  offers(kind) {
    return Boolean(this.button(kind));
  }

  /** The fields that a decision of this kind asks for on this line. */
  asks(kind) {
    return (this.button(kind)?.dataset.fields || "").split(" ").filter(Boolean);
  }

  field(name) {
    return this.form.elements[name];
  }

  /** The decision with its fields, as a value to return to. */
  state() {
    const values = {};
    for (const name of ["regimen", "survivor", "reason", "resume"]) values[name] = this.field(name).value;
    return { kind: this.kind, ...values };
  }

  isDirty() {
    return JSON.stringify(this.state()) !== JSON.stringify(this.lastSent);
  }

  restore(state) {
    this.show(state.kind);
    for (const name of ["regimen", "survivor", "reason", "resume"]) this.field(name).value = state[name];
  }

  /** A new decision: fields start afresh, a regimen from what the list says. */
  choose(kind) {
    for (const name of ["survivor", "reason", "resume"]) this.field(name).value = "";
    const asks = this.asks(kind);
    this.field("regimen").value = asks.includes("regimen") ? this.field("regimen").dataset.default : "";
    this.show(kind);
  }

  show(kind) {
    this.kind = kind;
    for (const button of this.form.querySelectorAll("button[aria-pressed]")) {
      button.setAttribute("aria-pressed", String(button.value === kind));
    }
    const menu = this.form.querySelector("details.more");
    if (menu) {
      menu.open = false;
      const chosen = menu.querySelector("button[aria-pressed=true] span");
      menu.querySelector("[data-chosen]").textContent = chosen ? chosen.textContent : "";
      menu.querySelector("summary").classList.toggle("chosen", Boolean(chosen));
      menu.querySelector("[data-reopen]").hidden = !kind;
    }
    const asks = this.asks(kind);
    for (const field of this.details.querySelectorAll("[data-field]")) field.hidden = !asks.includes(field.dataset.field);
    this.details.hidden = asks.length === 0;
    if (asks.includes("survivor")) this.offerSurvivors();
    const reason = this.field("reason");
    reason.labels[0].textContent = this.data.labels[kind] || "";
    if (document.getElementById(`reasons-${kind}`)) reason.setAttribute("list", `reasons-${kind}`);
    else reason.removeAttribute("list");
  }

  /** The other lines of the board, once: a line is not merged into itself. */
  offerSurvivors() {
    const select = this.field("survivor");
    if (select.options.length > 1) return;
    const lines = document.getElementById("survivors").content.cloneNode(true);
    for (const own of lines.querySelectorAll(`[data-group="${select.dataset.own}"]`)) own.remove();
    select.append(lines);
  }

  /** What is sent to the server: only the fields that this decision asks for. */
  fields() {
    const asks = this.asks(this.kind);
    const fields = new URLSearchParams();
    for (const name of ["csrf_token", "encounter", "group", "version"]) fields.set(name, this.field(name).value);
    fields.set("kind", this.kind);
    for (const name of asks) fields.set(name, this.field(name).value);
    return fields;
  }

  /** How the line stands after a save. Whoever is about to write is not told that something is missing. */
  settle(decided, missing) {
    const first = [...this.details.querySelectorAll("[data-field]:not([hidden]) :is(input, select)")].find((input) => !input.value);
    const writing = Boolean(missing && first && first === document.activeElement);
    if (writing) first.addEventListener("blur", () => this.kind && !first.value && this.settle(decided, missing), { once: true });
    const fault = writing ? "" : missing;
    const danger = "danger" in this.element.dataset;
    const state = fault ? "fault" : decided && !missing ? "done" : danger ? "danger" : "open";
    for (const name of ["fault", "done", "danger", "open"]) this.element.classList.toggle(name, name === state);
    this.element.querySelector("[data-state]").textContent = this.data.states[state];
    this.element.querySelector("[data-fault]").textContent = fault;
    for (const input of this.details.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    if (fault && first) first.setAttribute("aria-invalid", "true");
    if (missing) this.details.hidden = false;
  }

  /** To the first field that is asked for, if there is one. */
  focusField() {
    if (this.details.hidden) return false;
    const inputs = [...this.details.querySelectorAll("[data-field]:not([hidden]) :is(input, select)")];
    const target = inputs.find((input) => !input.value) || inputs[0];
    target?.focus();
    return Boolean(target);
  }
}
