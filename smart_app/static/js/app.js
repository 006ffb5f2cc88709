// Entry: starts what each page needs, now and after tab.js or htmx has put new content in place.

import * as board from "./board.js";
import * as page from "./page.js";
import * as tab from "./tab.js";
import * as worklist from "./worklist.js";

function start() {
  page.start();
  board.start();
  worklist.start();
}

document.addEventListener("baton:page", start);
if (!tab.start()) start();
