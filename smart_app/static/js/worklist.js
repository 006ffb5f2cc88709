// The worklist keeps itself current: it asks again every half minute and takes the answer only when
// something changed (ETag, 304) and nobody is filling in a form.

import { request } from "./tab.js";

const REFRESH_MILLISECONDS = 30000;
let timer = 0;

export function start() {
  window.clearInterval(timer);
  if (document.getElementById("worklist")) timer = window.setInterval(refresh, REFRESH_MILLISECONDS);
}

async function refresh() {
  const list = document.getElementById("worklist");
  if (!list || document.hidden || list.querySelector("form[data-log]")) return;
  let answer;
  try {
    answer = await request(list.dataset.url, { headers: { "If-None-Match": list.dataset.etag, "X-Baton-Poll": "1" } });
  } catch {
    return;
  }
  if (answer.status !== 200) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("worklist");
  if (!next || list.querySelector("form[data-log]")) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.id : "";
  list.replaceWith(document.adoptNode(next));
  window.htmx?.process(next);
  if (focused) document.getElementById(focused)?.focus();
}

// The form that logs a call: the focus goes into it, and back to the row when it is given up.
document.addEventListener("htmx:afterSwap", (event) => {
  const form = event.target.closest?.("#worklist")?.querySelector("form[data-log]");
  if (form) form.querySelector("select, input:not([type=hidden])").focus();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  for (const row of document.querySelectorAll("#worklist .form-row")) {
    if (!row.contains(event.target)) row.remove();
  }
});

document.addEventListener("click", (event) => {
  const cancel = event.target.closest?.("[data-cancel]");
  if (!cancel) return;
  event.preventDefault();
  const row = cancel.closest("tr");
  const opener = row.previousElementSibling?.querySelector("a[hx-get]");
  row.remove();
  opener?.focus();
});
