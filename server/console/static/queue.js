// Keeps the page of the queue fresh: asks every five seconds and changes the page only where something has changed,
// never under the hands of somebody who is in it with the keyboard.
"use strict";
(() => {
  const EVERY = 5000;
  const region = document.getElementById("queue-state");
  const note = document.getElementById("queue-note");
  if (!region) return;
  let tag = region.dataset.tag;

  const say = (words) => { if (note.textContent !== words) note.textContent = words; };

  async function look() {
    if (document.hidden) return;
    if (region.contains(document.activeElement)) return say("Paused while you are in the list");
    region.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(region.dataset.url, {
        headers: { "If-None-Match": `"${tag}"` }, redirect: "manual", credentials: "same-origin",
      });
      if (answer.type === "opaqueredirect") return say("Your session has ended; reload the page to sign in");
      if (answer.status !== 200 && answer.status !== 304) return say("Not up to date: the server does not answer as it should");
      if (answer.status === 200) {
        const text = await answer.text();
        if (!region.contains(document.activeElement)) {
          const scrolled = [...region.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
          region.innerHTML = text;
          region.querySelectorAll(".scroll").forEach((box, index) => { box.scrollLeft = scrolled[index] || 0; });
          tag = (answer.headers.get("ETag") || "").replace(/^W\//, "").replaceAll('"', "");
        }
      }
      say("Up to date");
    } catch {
      say("Not up to date: the server does not answer");
    } finally {
      region.removeAttribute("aria-busy");
    }
  }
  setInterval(look, EVERY);
})();
