// The history strip: what the listener has heard, newest first, with what became of it.

import { $, cover, facts, h, icon, still, title, words } from "./dom.js";

const MOST = 60;
const KINDS = { like: ["like", "liked"], not_interested: ["no", "not interested"], skip: ["no", "skipped"], play: ["play", "played"] };

/** Draw the session's past; items that came in since the last drawing are brought in gently. */
export function draw(session, info, fields) {
  const tuneful = session.past.some((event) => event.item.has_audio) || info.item_noun === "tune";
  const verb = tuneful ? "heard" : "chosen";
  const whose = session.user ? `What ${session.user.label} has ${verb}` : `What I have ${verb}`;
  $("past-title").replaceChildren(whose, session.user?.simulated ? h("span", { class: "tag" }, "simulated") : "");
  const strip = $("past");
  const before = new Set([...strip.children].map((one) => one.dataset.event));
  const events = session.past.slice(-MOST).reverse();
  const first = !before.size;
  strip.replaceChildren(...events.map((event, place) => entry(event, fields, session, events.length - place)));
  strip.hidden = !events.length;
  $("past-empty").hidden = events.length > 0;
  $("past-empty").textContent = `Nothing yet. Like ${info.item_noun}s below and they gather here.`;
  if (first || still()) return;
  for (const one of strip.children) {
    if (!before.has(one.dataset.event)) {
      one.animate([{ opacity: 0, transform: "scale(.6)" }, { opacity: 1, transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" });
    }
  }
}

function entry(event, fields, session, number) {
  const soundless = ["done", event.kind === "play" || !event.kind ? "" : words(event.kind)];
  const [symbol, said] = event.kind !== "play" || event.item.has_audio ? KINDS[event.kind] || soundless : soundless;
  const mine = session.done.includes(event) || event.seed;
  const label = [title(event.item), ...facts(event.item, fields, 2), said].filter(Boolean).join(", ");
  return h(
    "li",
    { class: `past-item was-${event.kind || "there"} ${mine ? "mine" : ""}`, "data-event": event.event_id || `${number}`, title: label },
    h("span", { class: "cover" }, cover(event.item), h("span", { class: "what" }, icon(symbol))),
    h("span", { class: "unseen" }, label),
    h("span", { class: "past-name", "aria-hidden": "true" }, title(event.item)),
  );
}
