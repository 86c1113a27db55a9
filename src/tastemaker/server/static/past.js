// The history strip: what the listener has heard, newest first, with what became of it; each item opens a sheet.

import { $, capital, cover, facts, h, icon, still, title, words } from "./dom.js";

const MOST = 60;
const VERBS = { like: "liked", dislike: "disliked", play: "played", save: "saved", skip: "skipped", view: "seen", click: "opened", purchase: "bought", rating: "rated" };

/** What an event did, in words: "liked", "not interested". */
export const verb = (kind) => VERBS[kind] || words(kind || "");

/** Draw the session's past; items that came in since the last drawing are brought in gently. */
export function draw(session, info, fields, actions) {
  const tuneful = session.past.some((event) => event.item.has_audio) || info.item_noun === "tune";
  const did = tuneful ? "heard" : "chosen";
  const whose = session.user ? `What ${session.user.label} has ${did}` : `What I have ${did}`;
  $("past-title").replaceChildren(whose, session.user?.simulated ? h("span", { class: "tag" }, "simulated") : "");
  const strip = $("past");
  const before = new Set([...strip.children].map((item) => item.dataset.event));
  const events = session.past.slice(-MOST).reverse();
  strip.replaceChildren(...events.map((event, place) => entry(event, fields, session, actions, events.length - place)));
  strip.hidden = !events.length;
  $("past-empty").hidden = events.length > 0;
  $("past-empty").textContent = `Nothing yet. Like ${info.item_noun}s below and they gather here.`;
  if (!before.size || still()) return;
  for (const item of strip.children) {
    if (!before.has(item.dataset.event)) {
      item.animate([{ opacity: 0, transform: "scale(.6)" }, { opacity: 1, transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" });
    }
  }
}

const symbol = (event) => {
  if (event.sign < 0) return "no";
  return event.kind === "like" ? "like" : event.kind === "play" && event.item.has_audio ? "play" : "done";
};

function entry(event, fields, session, actions, number) {
  const over = event.sign > 0 && session.latest(event.item.item_id).sign < 0; // refused since: it no longer counts
  const deed = event.kind === "play" && !event.item.has_audio ? "" : verb(event.kind);
  const label = [title(event.item), ...facts(event.item, fields, 2), deed, over && "no longer counts"].filter(Boolean).join(", ");
  const classes = ["past-item", event.sign < 0 || over ? "unwanted" : event.kind === "like" ? "liked" : "", event.fresh ? "recent" : ""];
  return h(
    "li",
    { class: classes.filter(Boolean).join(" "), "data-event": event.event_id || `${number}`, title: label },
    h(
      "button",
      { type: "button", "aria-label": label, "aria-haspopup": "dialog", onclick: () => sheet(event, session, fields, actions) },
      h("span", { class: "cover" }, cover(event.item), h("span", { class: "what" }, icon(symbol(event)))),
      h("span", { class: "past-name", "aria-hidden": "true" }, title(event.item)),
    ),
  );
}

/** One item of the past by itself: hear it again, judge it anew, or take the event back. */
function sheet(event, session, fields, { play, like, refuse, remove }) {
  const row = { item_id: event.item.item_id, item: event.item };
  const latest = session.latest(row.item_id).sign;
  const then = (act) => () => {
    $("sheet").close();
    act();
  };
  const button = (symbolName, text, act) => h("button", { type: "button", class: "quiet", onclick: then(act) }, icon(symbolName), h("span", {}, text));
  $("sheet-title").textContent = title(event.item);
  $("sheet-facts").textContent = facts(event.item, fields).map(capital).join(" · ");
  $("sheet-deed").textContent = [capital(verb(event.kind)), event.timestamp && new Date(event.timestamp * 1000).toLocaleDateString()].filter(Boolean).join(", ");
  $("sheet-cover").replaceChildren(cover(event.item));
  $("sheet-acts").replaceChildren(
    ...[
      event.item.has_audio && button("play", "Play", () => play(row)),
      latest <= 0 && button("like", "Like", () => like(row)),
      latest >= 0 && button("no", "Not interested", () => refuse(row)),
      event.event_id && button("undo", "Remove from history", () => remove(event)),
    ].filter(Boolean),
  );
  $("sheet").showModal();
}
