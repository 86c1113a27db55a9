// The conversation beside the cards: words go up, typed parts stream down, and every wish is a chip that can be removed.

import * as api from "./api.js";
import { $, brief, capital, cover, facts, h, icon, title } from "./dom.js";

let fields = [];
let actions = {};
let whom = null; // id of the person who talks, and of their conversation
let conversation = null;
let standing = 0; // wishes that stand
let asking = null;

/** Once a page: how items are named, what becomes of what is pressed, and of what changed by words. */
export function setUp(known, act) {
  fields = known;
  actions = act;
  $("talk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("talk-text").value.trim();
    if (!text) return;
    $("talk-text").value = "";
    say(text);
  });
  $("talk-me").addEventListener("click", () => say("What do you know about me?"));
  $("talk-new").addEventListener("click", () => {
    open(whom);
    focus();
  });
}

/** Begin anew, for somebody. */
export function open(id) {
  whom = id;
  conversation = null;
  standing = 0;
  asking?.abort();
  $("talk-new").hidden = true;
  $("talk-log").replaceChildren();
  $("talk-chips").replaceChildren();
  $("talk-chips").hidden = true;
}

export const focus = () => $("talk-text").focus();

function say(text) {
  line(text);
  return turn({ message: text });
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
      if (body.feedback) continue; // whoever pressed a button goes on reading where they are
      log.scrollTop = [...log.querySelectorAll(".mine")].at(-1)?.offsetTop ?? log.scrollHeight;
      $("talk-form").scrollIntoView({ block: "nearest" });
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    put({ kind: "notice", text: `${error.message} ${error.remedy ?? ""}` }, reply);
    reply.scrollIntoView({ block: "nearest" });
  } finally {
    if (!reply.childNodes.length) reply.remove();
    log.removeAttribute("aria-busy");
  }
}

const parts = {
  text: (part) => h("p", {}, capital(part.text)),
  notice: (part) => h("p", { class: "hint" }, part.text),
  question: (part) => choices(part.text, part.options.map((option) => [option, () => say(option)])),
  nothing_fits: (part) => choices(part.text, part.ways.map((way) => [`Without ${way.label}: ${fit(way.count)}`, () => without(way.name, way.label)])),
  item: (part) => shown(part),
};

const fit = (count) => (count === 1 ? "1 fits" : `${count.toLocaleString("en")} fit`);

/** Words, and the answers to choose from. */
const choices = (text, answers) => h("div", {}, h("p", {}, text), h("div", { class: "choices" }, answers.map(([label, act]) => h("button", { type: "button", class: "quiet", onclick: act }, label))));

function put(part, reply) {
  if (part.kind === "understood") chips(part);
  else if (part.kind === "explanation") {
    const list = reply.querySelector(`[data-item="${CSS.escape(part.item_id)}"] .evidence`);
    if (list && part.evidence === "attribute" && part.because_of.length === standing) return; // the chips say it
    if (list) list.append(h("li", {}, part.text));
    else reply.append(h("p", { class: "hint" }, part.text));
  }
  else if (part.kind === "done") {
    conversation = part.conversation_id;
    if (part.changed) actions.changed();
  }
  else if (parts[part.kind]) reply.append(parts[part.kind](part));
}

function line(text) {
  const log = $("talk-log");
  $("talk-new").hidden = false;
  log.append(h("p", { class: "mine" }, h("span", { class: "unseen" }, "You: "), text));
  log.scrollTop = log.scrollHeight;
}

/** What was understood; each wish can be taken back. */
function chips({ chips: wishes, fits }) {
  const list = $("talk-chips");
  const remove = (chip) => h("li", {}, h("button", { type: "button", class: "chip", "aria-label": `Take back: ${chip.label}`, onclick: () => without(chip.name, chip.label) }, chip.label, icon("no")));
  list.replaceChildren(...wishes.map(remove), ...(wishes.length && fits !== null ? [h("li", { class: "hint" }, fit(fits))] : []));
  list.hidden = !wishes.length;
  standing = wishes.length;
}

function without(name, label) {
  line(`Without ${label}`);
  $("talk-log").focus({ preventScroll: true }); // what was pressed goes
  return turn({ remove: [name] });
}

function shown(part) {
  const item = part.item.item_id ? part.item : { item_id: part.item_id, title: part.title, attributes: [] };
  const row = { item_id: part.item_id, item, request_id: part.request_id };
  const name = title(item);
  const press = (kind, act) => ({ currentTarget }) => {
    const card = currentTarget.closest(".said-item");
    if (card.dataset.verdict === kind) return;
    card.dataset.verdict = kind;
    for (const button of card.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", button === currentTarget);
    act(row);
    turn({ feedback: { [part.item_id]: kind }, stored: true });
  };
  return h(
    "article",
    { class: "said-item", "data-item": part.item_id, "aria-label": `${part.handle}. ${name}` },
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
      item.has_audio && h("button", { type: "button", class: "play round", "data-title": name, "data-shows": "play", "aria-label": `Play ${name}`, onclick: () => actions.play(row) }, icon("play")),
      h("button", { type: "button", class: "round", "aria-pressed": "false", "aria-label": `Like ${name}`, onclick: press("like", actions.like) }, icon("like")),
      h("button", { type: "button", class: "round", "aria-pressed": "false", "aria-label": `Not interested in ${name}`, onclick: press("skip", actions.refuse) }, icon("no")),
    ),
  );
}
