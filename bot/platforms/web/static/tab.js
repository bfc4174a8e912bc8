// A tab's parts are written anew when something has changed: what its reader has opened stays open.
"use strict";

const open = new Set();

document.addEventListener(
  "toggle",
  ({ target }) => {
    if (target.matches?.("details[id]") && target.isConnected) open[target.open ? "add" : "delete"](target.id);
  },
  true,
);
new MutationObserver(() => {
  for (const id of open) {
    const details = document.getElementById(id);
    if (details && !details.open) details.open = true;
  }
}).observe(document.body, { childList: true, subtree: true });
