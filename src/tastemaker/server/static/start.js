// The first view: borrow the history of a known user, or gather a few items and begin with those.

import * as api from "./api.js";
import { $, capital, cover, facts, h, icon, mark, plural, title } from "./dom.js";
import { toggle } from "./player.js";
import { isVisitor, visitorHistory } from "./session.js";

const PAGE = matchMedia("(max-width: 40rem)").matches ? 4 : 10;
let catalogue = { info: null, fields: [] };
let seeds = [];
let shown = 0;
let earlier = 0; // events of earlier visits
let asking = null;
let go = () => {};
let fail = () => {};

/** Fill the view. `onGo(user | null, seeds)` begins a sitting; `onFail(error)` shows what went wrong. */
export function setUp(info, fields, onGo, onFail) {
  catalogue = { info, fields };
  go = onGo;
  fail = onFail;
  const { item_noun: item, user_noun: user, simulated } = info;
  const whose = simulated ? `simulated ${user}` : user;
  $("start-lead").textContent = `Borrow the history of a ${whose}, or choose a few ${item}s you already like. What follows adapts to every answer you give.`;
  $("people-title").textContent = simulated ? `Simulated ${user}s` : `${capital(user)}s`;
  $("people-hint").textContent = simulated
    ? `Made by a program; none of them is a person. Your answers are added to the one you choose.`
    : `Recorded histories, by number. Your answers are added to the one you choose.`;
  $("query").placeholder = `Search ${(info.counts.items || 0).toLocaleString("en")} ${item}s`;
  $("people").replaceChildren();
  shown = 0;
  return Promise.all([welcome(), morePeople(), find()]);
}

/** Greet a visitor who was here before, and anybody else as somebody new. */
export async function welcome() {
  earlier = (await visitorHistory()).length;
  const { item_noun: item } = catalogue.info;
  $("fresh-title").textContent = earlier ? "Welcome back" : "Start fresh";
  $("fresh-hint").textContent = earlier
    ? `This browser remembers ${plural(earlier, "event")} of yours. Go on from there, or add ${item}s you like.`
    : `Search for ${item}s you like, or begin with nothing.`;
  drawSeeds();
}

async function morePeople() {
  const people = await api.users(PAGE + 1, shown);
  $("more-people").hidden = people.length <= PAGE;
  const known = people.slice(0, PAGE).filter((user) => !isVisitor(user.user_id)); // others' visits are nobody's to borrow
  $("people").append(...known.map(person));
  shown += Math.min(PAGE, people.length);
}

function person(user) {
  const count = user.events === null ? null : plural(user.events, "event");
  const hint = [user.note, count].filter(Boolean).join(" · ");
  const name = h("span", { class: "name" }, h("strong", {}, user.label), user.simulated && h("span", { class: "tag" }, "simulated"));
  const who = h("span", { class: "who" }, name, hint && h("span", { class: "hint" }, hint));
  return h("li", {}, h("button", { type: "button", class: "person", "data-user": user.user_id, onclick: () => go(user, []) }, mark(user.user_id), who));
}

async function find() {
  asking?.abort();
  asking = new AbortController();
  try {
    const items = await api.search($("query").value.trim(), asking.signal);
    const none = h("li", { class: "hint" }, "Nothing matches. Try fewer or other words.");
    $("found").replaceChildren(...(items.length ? items.map(result) : [none]));
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  }
}

function result(item) {
  const chosen = seeds.some((seed) => seed.item_id === item.item_id);
  const name = title(item);
  const listen = () => toggle({ item_id: item.item_id, item });
  return h(
    "li",
    { "data-item": item.item_id },
    h("div", { class: "cover" }, cover(item)),
    h("div", { class: "words" }, h("strong", {}, name), h("span", { class: "hint" }, facts(item, catalogue.fields, 2).map(capital).join(" · "))),
    item.has_audio && h("button", { type: "button", class: "play round", "data-title": name, "data-shows": "play", "aria-label": `Play ${name}`, onclick: listen }, icon("play")),
    h("button", { type: "button", class: "round add", "aria-pressed": String(chosen), "aria-label": `Choose ${name}`, onclick: () => choose(item) }, icon(chosen ? "done" : "add")),
  );
}

function choose(item) {
  const without = seeds.filter((seed) => seed.item_id !== item.item_id);
  seeds = without.length === seeds.length ? [...seeds, item] : without;
  for (const line of $("found").querySelectorAll("[data-item]")) {
    const button = line.querySelector(".add");
    const chosen = seeds.some((seed) => seed.item_id === line.dataset.item);
    button.setAttribute("aria-pressed", String(chosen));
    button.replaceChildren(icon(chosen ? "done" : "add"));
  }
  drawSeeds();
}

function drawSeeds() {
  $("seeds").replaceChildren(
    ...seeds.map((item) => h("li", {}, h("button", { type: "button", "aria-label": `Remove ${title(item)}`, onclick: () => choose(item) }, title(item), icon("no")))),
  );
  const chosen = `${seeds.length === 1 ? "this" : "these"} ${plural(seeds.length, catalogue.info.item_noun)}`;
  const [nothing, some] = earlier ? ["Go on where you left off", `Go on with ${chosen} added`] : ["Begin with nothing", `Begin with ${chosen}`];
  $("begin").textContent = seeds.length ? some : nothing;
}

let typing = 0;
$("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(find, 160);
});
$("query").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  $("found").querySelector(".add")?.focus();
});
$("more-people").addEventListener("click", () => morePeople().catch((error) => fail(error)));
$("begin").addEventListener("click", () => {
  const chosen = seeds;
  seeds = [];
  go(null, chosen);
});
