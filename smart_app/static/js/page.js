// What every page does: menus that close, print, the banner's height for sticky headings, announcements.

/** Say something to a screen reader. */
export function announce(words) {
  const live = document.getElementById("live");
  if (!live || !words) return;
  live.textContent = "";
  window.setTimeout(() => {
    live.textContent = words;
  }, 50);
}

/** Show the line that says that the server cannot be reached, in its own words or the page's; "" hides it. */
export function offline(words) {
  const line = document.getElementById("offline");
  if (!line) return;
  line.textContent = words ?? line.dataset.words;
  line.hidden = words === "";
}

export function start() {
  const banner = document.getElementById("patient");
  if (banner && "ResizeObserver" in window) {
    new ResizeObserver(() => {
      document.documentElement.style.setProperty("--banner", `${banner.offsetHeight}px`);
    }).observe(banner);
  }
}

document.addEventListener("baton:offline", () => offline());
document.addEventListener("htmx:sendError", () => offline());
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) offline("");
});

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.more[open], details.pop[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  closeMenus(event.target.closest?.("details.more, details.pop"));
  if (event.target.closest?.("[data-print]")) window.print();
});

document.addEventListener("focusin", (event) => closeMenus(event.target.closest("details.more, details.pop")));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.more[open], details.pop[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
  event.stopPropagation();
}, true);

// Arrow keys within an open menu, as people expect of one.
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.more[open]");
  if (!menu || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  const entries = [...menu.querySelectorAll(".menu button:not([hidden]), .menu a")];
  const step = event.key === "ArrowDown" ? 1 : -1;
  const at = entries.indexOf(document.activeElement);
  entries[(at + step + entries.length) % entries.length]?.focus();
  event.preventDefault();
  event.stopPropagation();
}, true);
