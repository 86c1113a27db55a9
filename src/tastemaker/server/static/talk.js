// The conversation beside the cards: words go up, typed parts stream down, and every wish is a chip that can be removed.

import * as api from "./api.js";
import { $, brief, capital, cover, facts, h, icon, title } from "./dom.js";

let fields = [];
let actions = {};
let whom = null; // id of the person who talks, and of their conversation
let conversation = null;
let asking = null;

/** Once a page: how items are named, and what becomes of what is pressed. */
export function setUp(known, act, trouble) {
  fields = known;
  actions = act;
  $("talk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("talk-text").value.trim();
    if (!text) return;
    $("talk-text").value = "";
    say(text).catch(trouble);
  });
  $("talk-me").addEventListener("click", () => say("What do you know about me?").catch(trouble));
  $("talk-new").addEventListener("click", () => open(whom));
  $("talk").addEventListener("failed", (event) => trouble(event.detail));
}

/** Begin anew, for somebody. */
export function open(id) {
  whom = id;
  conversation = null;
  asking?.abort();
  $("talk-log").replaceChildren();
  $("talk-chips").replaceChildren();
  $("talk-chips").hidden = true;
}

export const focus = () => $("talk-text").focus();

async function say(text) {
  line("mine", text);
  await turn({ message: text });
}

/** One turn: its parts are put up as they come. */
async function turn(body) {
  asking?.abort();
  asking = new AbortController();
  const log = $("talk-log");
  log.setAttribute("aria-busy", "true");
  const reply = h("div", { class: "reply" });
  log.append(reply);
  try {
    for await (const part of api.talk({ ...body, conversation_id: conversation ?? undefined, user_id: whom }, asking.signal)) {
      put(part, reply);
      const asked = [...log.querySelectorAll(".mine")].at(-1);
      log.scrollTop = asked ? asked.offsetTop : log.scrollHeight;
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  } finally {
    if (!reply.childNodes.length) reply.remove();
    log.removeAttribute("aria-busy");
  }
}

const later = (work) => work.catch((error) => $("talk").dispatchEvent(new CustomEvent("failed", { detail: error })));

const parts = {
  text: (part) => h("p", {}, part.text),
  notice: (part) => h("p", { class: "hint" }, part.text),
  question: (part) => h("div", {}, h("p", {}, part.text), h("div", { class: "options" }, part.options.map((option) => h("button", { type: "button", class: "quiet", onclick: () => later(say(option)) }, option)))),
  nothing_fits: (part) => h("div", { class: "nothing" }, h("p", {}, part.text), h("div", { class: "options" }, part.ways.map((way) => h("button", { type: "button", class: "quiet", onclick: () => without(way.name, way.label) }, `Without ${way.label}: ${way.count}`)))),
  item: (part) => shown(part),
};

function put(part, reply) {
  if (part.kind === "understood") chips(part);
  else if (part.kind === "explanation") {
    const list = reply.querySelector(`[data-talk="${CSS.escape(part.item_id)}"] .evidence`);
    if (list) list.append(h("li", {}, part.text));
    else reply.append(h("p", { class: "hint" }, part.text));
  }
  else if (part.kind === "done") conversation = part.conversation_id;
  else if (parts[part.kind]) reply.append(parts[part.kind](part));
}

function line(who, text) {
  const log = $("talk-log");
  log.append(h("p", { class: who }, h("span", { class: "unseen" }, "You: "), text));
  log.scrollTop = log.scrollHeight;
}

/** What was understood; each wish can be taken back. */
function chips({ chips: wishes, fits }) {
  const list = $("talk-chips");
  const remove = (chip) => h("li", {}, h("button", { type: "button", class: "chip", "aria-label": `Take back: ${chip.label}`, onclick: () => without(chip.name, chip.label) }, chip.label, icon("no")));
  list.replaceChildren(...wishes.map(remove), ...(wishes.length && fits !== null ? [h("li", { class: "hint" }, `${fits.toLocaleString("en")} fit`)] : []));
  list.hidden = !wishes.length;
}

function without(name, label) {
  line("mine", `Without ${label}`);
  later(turn({ remove: [name] }));
}

function shown(part) {
  const item = part.item.item_id ? part.item : { item_id: part.item_id, title: part.title, attributes: [] };
  const row = { item_id: part.item_id, item };
  const name = title(item);
  const press = (kind, act) => (event) => {
    event.currentTarget.closest(".said-item").classList.add(kind);
    act(row);
    later(turn({ feedback: { [part.item_id]: kind }, stored: true }));
  };
  return h(
    "article",
    { class: "said-item", "data-talk": part.item_id, "aria-label": `${part.handle}. ${name}` },
    h("div", { class: "cover" }, cover(item)),
    h(
      "div",
      { class: "words" },
      h("h3", {}, `${part.handle}. ${brief(item)}`),
      h("p", { class: "facts" }, ...facts(item, fields).map((fact) => h("span", {}, capital(fact)))),
      item.creator && h("p", { class: "creator" }, item.creator),
      part.unmet.length > 0 && h("p", { class: "unmet" }, `Misses: ${part.unmet.join(", ")}`),
      h("ul", { class: "evidence hint" }),
    ),
    h(
      "div",
      { class: "deeds" },
      item.has_audio && h("button", { type: "button", class: "round", "data-title": name, "data-shows": "play", "aria-label": `Play ${name}`, onclick: () => actions.play(row) }, icon("play")),
      h("button", { type: "button", class: "round", "aria-label": `Like ${name}`, onclick: press("like", actions.like) }, icon("like")),
      h("button", { type: "button", class: "round", "aria-label": `Skip ${name}`, onclick: press("skip", actions.refuse) }, icon("no")),
    ),
  );
}
