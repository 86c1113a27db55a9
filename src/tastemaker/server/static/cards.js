// The list of recommendations: cards that move to their new places, and say what is new.

import { $, capital, cover, facts, h, icon, still, title, words } from "./dom.js";
import { show } from "./player.js";

let cards = new Map(); // item_id -> {element, row}
let current = null; // item_id of the card that the keyboard is on

export const list = $("picks");
export const row = (id) => cards.get(id)?.row ?? null;
export const currentRow = () => row(current);

/** The card the keyboard is on: only that one takes part in the tab order. */
export function focus(id, move = true) {
  if (!cards.has(id)) return;
  cards.get(current)?.element.setAttribute("tabindex", "-1");
  current = id;
  const { element } = cards.get(id);
  element.setAttribute("tabindex", "0");
  if (!move) return;
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest", behavior: still() ? "auto" : "smooth" });
}

export function step(by) {
  const order = [...cards.keys()];
  if (!order.length) return;
  const at = order.indexOf(current);
  const inside = list.contains(document.activeElement);
  focus(order[inside ? Math.max(0, Math.min(order.length - 1, at + by)) : Math.max(0, at)]);
}

/** How many cards stand beside each other, for the up and down arrows. */
export function columns() {
  const tops = [...cards.values()].map(({ element }) => element.offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

export function toggleWhy(id) {
  const details = cards.get(id)?.element.querySelector("details");
  if (details) details.open = !details.open;
}

/** A grey stand-in for each card while the first list is on its way. */
export function skeleton(k) {
  cards = new Map();
  current = null;
  list.setAttribute("aria-busy", "true");
  list.replaceChildren(...Array.from({ length: k }, () => h("li", { class: "card ghost", "aria-hidden": "true" }, h("span", { class: "cover" }))));
}

/** Show a slate: keep cards that stay, move them, let the others go. Returns {fresh, moved}: how many there were. */
export function render(rows, fields, actions, compare) {
  const before = new Map([...cards].map(([id, { element }]) => [id, element.getBoundingClientRect()]));
  const held = list.contains(document.activeElement) ? [...cards.keys()].indexOf(current) : -1;
  const change = changes(rows, compare);
  const next = new Map();
  let fresh = 0;
  let moved = 0;
  rows.forEach((shown, place) => {
    const id = shown.item_id;
    const element = cards.get(id)?.element ?? build(shown, fields, actions);
    fresh += change.get(id) === "new" ? 1 : 0;
    moved += Number.isInteger(change.get(id)) ? 1 : 0;
    badge(element, change.get(id));
    why(element, shown, place);
    element.setAttribute("aria-posinset", place + 1);
    element.setAttribute("aria-setsize", rows.length);
    next.set(id, { element, row: shown });
  });
  cards = next;
  list.removeAttribute("aria-busy");
  list.replaceChildren(...[...cards.values()].map(({ element }) => element));
  if (cards.size) {
    const ids = [...cards.keys()];
    const keep = cards.has(current) ? current : ids[Math.max(0, Math.min(held, ids.length - 1))];
    for (const { element } of cards.values()) element.setAttribute("tabindex", "-1");
    focus(keep, held >= 0);
  }
  if (!still()) animate(before);
  show();
  return { fresh, moved };
}

/**
 * What each row changed: "new", or how many places up among the cards that stay. Closing the gap that a leaving card
 * left is no change, and rows without a change are left out.
 */
function changes(rows, compare) {
  const before = [...cards.keys()];
  if (!compare || !before.length) return new Map();
  const ids = new Set(rows.map((shown) => shown.item_id));
  const old = new Map(before.filter((id) => ids.has(id)).map((id, place) => [id, place]));
  const staying = rows.map((shown) => shown.item_id).filter((id) => old.has(id));
  const moves = staying.map((id, place) => [id, old.get(id) - place]).filter(([, by]) => by !== 0);
  const fresh = [...ids].filter((id) => !old.has(id)).map((id) => [id, "new"]);
  return new Map([...moves, ...fresh]);
}

function animate(before) {
  const ease = "cubic-bezier(.2, .7, .2, 1)";
  let entering = 0;
  for (const [id, { element }] of cards) {
    const from = before.get(id);
    const to = element.getBoundingClientRect();
    if (!from) {
      const frames = [{ opacity: 0, transform: "translateY(14px)" }, { opacity: 1, transform: "none" }];
      element.animate(frames, { duration: 360, delay: 60 + 35 * entering, easing: ease, fill: "backwards" });
      entering += 1;
    } else if (from.left !== to.left || from.top !== to.top) {
      const shift = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
      element.animate([{ transform: shift }, { transform: "none" }], { duration: 460, easing: ease });
    }
  }
}

function badge(element, change) {
  const place = element.querySelector(".badge");
  place.className = "badge";
  place.textContent = "";
  if (change === "new") {
    place.classList.add("is-new");
    place.textContent = "new";
  } else if (change) {
    place.classList.add("is-moved");
    const [arrow, way] = change > 0 ? ["↑", "up"] : ["↓", "down"];
    place.append(h("span", { "aria-hidden": "true" }, `${arrow} ${Math.abs(change)}`), h("span", { class: "unseen" }, `moved ${way} ${Math.abs(change)}`));
  }
}

/** The evidence for a row, and how it came here; never more than the server knows. */
function why(element, shown, place) {
  const evidence = shown.reasons.map((reason) => h("li", {}, reason.text));
  const nothing = h("p", { class: "hint" }, "There is no single piece of evidence to show: it follows from the history as a whole.");
  const odds = shown.propensity >= 1 ? "always" : `with probability ${shown.propensity.toPrecision(2)}`;
  const how = `Place ${place + 1}, found by: ${words(shown.source)}. This policy would show it here ${odds}.`;
  const moved = shown.retention && h("p", { class: "moved" }, shown.retention.text);
  const parts = [evidence.length ? h("ul", {}, evidence) : nothing, moved, h("p", { class: "hint" }, how)];
  element.querySelector(".evidence").replaceChildren(...parts.filter(Boolean));
}

function build({ item }, fields, { play, like, refuse }) {
  const name = title(item);
  const id = item.item_id;
  const now = () => row(id);
  const playButton = item.has_audio
    ? h("button", { type: "button", class: "play round solid", "data-title": name, "data-shows": "play", "aria-label": `Play ${name}`, onclick: () => play(now()) }, icon("play"))
    : null;
  const element = h(
    "li",
    { class: "card", "data-item": id, tabindex: "-1", "aria-label": [name, ...facts(item, fields)].join(", ") },
    h("div", { class: "cover", onclick: (event) => event.target.closest("button") || play(now()) }, cover(item), playButton, h("span", { class: "heard", "aria-hidden": "true" })),
    h(
      "div",
      { class: "words" },
      h("p", { class: "line" }, h("span", { class: "badge" })),
      h("h3", {}, name),
      h("p", { class: "facts" }, ...facts(item, fields).map((fact) => h("span", {}, capital(fact)))),
      item.creator && h("p", { class: "creator" }, item.creator),
      h("details", {}, h("summary", {}, "Why this one", icon("down")), h("div", { class: "evidence" })),
    ),
    h(
      "div",
      { class: "verdict" },
      h("button", { type: "button", class: "like", "aria-label": `Like ${name}`, onclick: () => like(now()) }, icon("like"), h("span", {}, "Like")),
      h("button", { type: "button", class: "refuse", "aria-label": `Not interested in ${name}`, onclick: () => refuse(now()) }, icon("no"), h("span", {}, "Not interested")),
    ),
  );
  element.addEventListener("focusin", () => focus(id, false));
  return element;
}

/** Let a judged card leave before the next list arrives; false when it was judged already. */
export function leave(id, kind) {
  const element = cards.get(id)?.element;
  if (element?.classList.contains("leaving")) return false;
  element?.classList.add("leaving", kind);
  return true;
}

export function stay(id) {
  cards.get(id)?.element.classList.remove("leaving", "like", "not_interested");
}
