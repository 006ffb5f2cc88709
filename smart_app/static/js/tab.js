// Requests of this tab. Where the browser refuses cookies in the EHR's frame, the tab is known by a
// secret that lives in this module and nowhere else: every request carries it as a header, and so
// navigation goes by fetch. With cookies this module only adds the CSRF token, and links stay links.

const TAB_HEADER = "X-Baton-Tab";
const CSRF_HEADER = "X-Baton-CSRF";

let secret = "";

/** Headers that every request of this page carries. */
export function headers() {
  const own = {};
  if (secret) own[TAB_HEADER] = secret;
  if (document.body.dataset.csrf) own[CSRF_HEADER] = document.body.dataset.csrf;
  return own;
}

/** fetch with the tab's headers. */
export function request(url, options = {}) {
  return fetch(url, { ...options, headers: { ...headers(), ...options.headers }, credentials: "same-origin" });
}

/** Show the page as the server has it now, the focus where it was. */
export function reload() {
  return navigate(window.location.href, {}, false, document.activeElement?.closest("[id]")?.id);
}

/** Take over navigation where the page carries a tab secret. True if it does. */
export function start() {
  // A partial request that was refused (the session ended, say) answers with a whole problem page.
  document.addEventListener("htmx:responseError", (event) => show(event.detail.xhr.responseText));
  document.addEventListener("htmx:configRequest", (event) => Object.assign(event.detail.headers, headers()));
  const shell = document.getElementById("baton-tab");
  if (!shell) return false;
  const given = JSON.parse(shell.textContent);
  secret = given.secret;
  shell.remove();
  document.addEventListener("click", followLink);
  document.addEventListener("submit", sendForm);
  window.addEventListener("popstate", () => navigate(window.location.href, {}, false));
  window.history.replaceState(null, "", given.start);
  navigate(given.start, {}, false);
  return true;
}

function followLink(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const url = new URL(link.href, window.location.href);
  if (url.origin !== window.location.origin || link.target === "_blank") return;
  const samePage = url.pathname === window.location.pathname && url.search === window.location.search;
  if (samePage && url.hash) return;
  event.preventDefault();
  navigate(url.href, {}, true);
}

function sendForm(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog") return;
  event.preventDefault();
  const fields = new FormData(form, event.submitter);
  const url = new URL(event.submitter?.getAttribute("formaction") || form.action, window.location.href);
  if (form.method === "get") {
    url.search = new URLSearchParams(fields).toString();
    navigate(url.href, {}, true);
  } else {
    navigate(url.href, { method: "POST", body: new URLSearchParams(fields) }, true);
  }
}

async function navigate(url, options, remember, focused) {
  let answer;
  try {
    answer = await request(url, options);
    show(await answer.text());
  } catch {
    document.dispatchEvent(new CustomEvent("baton:offline"));
    return;
  }
  const final = new URL(answer.url);
  final.hash = new URL(url, window.location.href).hash || final.hash;
  if (remember && final.href !== window.location.href) window.history.pushState(null, "", final);
  else window.history.replaceState(null, "", final);
  const target = document.getElementById(focused || final.hash.slice(1));
  if (target) {
    target.focus({ preventScroll: Boolean(focused) });
  } else {
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
}

function show(html) {
  const next = new DOMParser().parseFromString(html, "text/html");
  // A parser without scripts keeps what stands in <noscript>; here scripts run.
  for (const element of next.querySelectorAll("noscript")) element.remove();
  document.title = next.title;
  document.documentElement.lang = next.documentElement.lang;
  document.body.replaceWith(document.adoptNode(next.body));
  window.htmx?.process(document.body);
  document.dispatchEvent(new CustomEvent("baton:page"));
}
