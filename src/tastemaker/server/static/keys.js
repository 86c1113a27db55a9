// The keyboard: single letters act on the current card, unless words are being typed.

import * as cards from "./cards.js";
import { $ } from "./dom.js";

const typing = (target) => target.matches("input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]");
const busy = (target) => target.closest("button, summary, input, a, dialog");

/** Space presses buttons, and arrows scroll and move sliders: there the browser keeps its keys. */
function native({ key, target }) {
  if (key === " ") return busy(target);
  if (!key.startsWith("Arrow") || cards.list.contains(target)) return false;
  const nowhere = target === document.body || target.id === "main";
  return !nowhere || key === "ArrowUp" || key === "ArrowDown";
}

export function listenToKeys({ play, like, refuse, undo, why, search, question, talk }) {
  const onCard = (act) => () => cards.currentRow() && act(cards.currentRow());
  const keys = {
    j: () => cards.step(1),
    k: () => cards.step(-1),
    ArrowRight: () => cards.step(1),
    ArrowLeft: () => cards.step(-1),
    ArrowDown: () => cards.step(cards.columns()),
    ArrowUp: () => cards.step(-cards.columns()),
    " ": onCard(play),
    l: onCard(like),
    x: onCard(refuse),
    w: onCard((row) => why(row.item_id)),
    u: undo,
    q: question,
    c: talk,
  };
  const help = $("help");
  $("help-open").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") help.showModal();
    else if (event.key === "/") search();
    else if (document.body.dataset.view === "listen" && keys[event.key]) {
      if (native(event)) return;
      if (event.repeat && !/^(j|k|Arrow)/.test(event.key)) return;
      keys[event.key]();
    } else return;
    event.preventDefault();
  });
}
