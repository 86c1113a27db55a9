// The page: two views, one session, and what happens between a verdict and the next list.

import * as api from "./api.js";
import * as cards from "./cards.js";
import * as data from "./data.js";
import { $, brief, capital, h, mark, newId, plural } from "./dom.js";
import * as filters from "./filters.js";
import { listenToKeys } from "./keys.js";
import * as past from "./past.js";
import * as player from "./player.js";
import { Session, actFor, arrive, visitorHistory, visitorId } from "./session.js";
import * as start from "./start.js";
import * as survey from "./survey.js";
import * as talk from "./talk.js";
import { setUpTheme } from "./theme.js";

const K = 12;
let info = null;
let fields = [];
let signs = new Map(); // kind of event -> 1 wanted, -1 unwanted, 0 neither; the server's table
let session = null;
let asking = null;
let turn = Promise.resolve();

const actions = {
  play: (row) => player.toggle(row),
  like: (row) => judge("like", row),
  refuse: (row) => judge("not_interested", row),
  remove: (event) => undo(event),
  changed: () => inTurn(reread),
};

function trouble(error) {
  console.error(error);
  const anew = error.again ?? (() => (session ? refresh(null) : begin()));
  const again = h("button", { type: "button", class: "quiet", onclick: () => anew() }, "Try again");
  $("trouble").replaceChildren(h("p", {}, h("strong", {}, error.message), " ", error.remedy || ""), again);
  $("trouble").hidden = false;
}

let fading = 0;
let undoable = null;
function toast(text, event = null) {
  undoable = event;
  $("toast-text").textContent = text;
  $("toast-undo").hidden = !event;
  $("toast").classList.add("up");
  clearTimeout(fading);
  fading = setTimeout(() => $("toast").classList.remove("up"), event ? 7000 : 3500);
}

function view(name) {
  $("start").hidden = name !== "start";
  $("listen").hidden = name !== "listen";
  document.body.dataset.view = name;
  scrollTo(0, 0);
  $("main").focus({ preventScroll: true });
}

/** The first view; a listener named in the address is taken up at once. */
async function begin() {
  try {
    const address = new URLSearchParams(location.hash.slice(1));
    await arrive(address.get("token") ?? undefined);
    if (address.has("token")) history.replaceState(null, "", `${location.pathname}#me`);
    [info, fields] = await Promise.all([api.info(), api.fields()]);
    signs = new Map(info.kinds.map((kind) => [kind.name, kind.sign]));
    $("trouble").hidden = true;
    $("dataset").textContent = [info.dataset, info.counts.items && plural(info.counts.items, info.item_noun)].filter(Boolean).join(" · ");
    $("notice").textContent = info.notice || (info.simulated ? `Every ${info.user_noun} here is simulated.` : "");
    $("notice").hidden = !$("notice").textContent;
    survey.setUp(trouble);
    player.setUp(fields, heard, (row) => toast(`“${brief(row.item)}” cannot be played.`));
    data.setUp(trouble, erased);
    talk.setUp(fields, actions);
    const wanted = address.get("user");
    await start.setUp(info, fields, open, trouble);
    data.show();
    if ((address.has("me") || address.has("token")) && visitorId()) await open(null, []);
    else if (wanted) await open((await api.users(200, 0)).find((user) => user.user_id === wanted) || { user_id: wanted, label: wanted, simulated: info.simulated }, []);
    else home();
  } catch (error) {
    trouble(error);
  }
}

function home() {
  player.stop();
  survey.forget();
  session = null;
  asking?.abort();
  history.replaceState(null, "", location.pathname);
  document.title = "Tastemaker";
  view("start");
  if (info) start.welcome().catch(trouble);
}

function erased() {
  home();
  data.show();
  toast("Everything about you was deleted.");
}

const signed = (event) => ({ ...event, sign: event.sign ?? signs.get(event.kind) ?? 0 });

/** After words in the conversation changed what is kept: show it, and what follows from it. */
async function reread() {
  const current = session;
  if (!current) return;
  const stands = await current.reread(signed);
  if (current !== session) return;
  if (!stands) return erased();
  drawPast();
  await refresh("Since you said so");
}

/** Take up a visit with a known user, or with this browser's visitor, who adds the given items. */
async function open(user, seeds) {
  try {
    player.stop();
    survey.forget();
    await actFor(user);
    const events = user ? await api.history(user.user_id) : await visitorHistory();
    session = new Session(user, events.map(signed), seeds);
    history.replaceState(null, "", user ? `#user=${encodeURIComponent(user.user_id)}` : "#me");
    mark(session.id, $("whom-mark"));
    $("whom-kind").textContent = user ? (user.simulated ? `Simulated ${info.user_noun}` : `Recorded ${info.user_noun}`) : events.length ? "Welcome back" : "Fresh start";
    $("for-whom").textContent = user ? `For ${user.label}` : "For you";
    const ours = "Your answers stay on the machine that serves this page, and this browser remembers you: see “Your data”.";
    const nobody = user?.simulated ? "Not a person: a program made this history." : null;
    $("whom-note").textContent = user ? [user.note && `${capital(user.note)}.`, nobody].filter(Boolean).join(" ") : ours;
    document.title = `${$("for-whom").textContent} – Tastemaker`;
    $("past").replaceChildren();
    drawPast();
    talk.open(session.id);
    filters.draw(fields, session.filters, () => refresh(null));
    $("changes").textContent = "";
    cards.skeleton(K);
    view("listen");
    await refresh(null, false);
  } catch (error) {
    trouble(error);
  }
}

function drawPast() {
  past.draw(session, info, fields, actions);
  data.show();
}

/** Fetch and show the next list; `cause` is what it answers to, for the line above it. */
async function refresh(cause, compare = true) {
  asking?.abort();
  asking = new AbortController();
  const current = session;
  try {
    const slate = await current.next(K, asking.signal);
    if (current !== session) return;
    data.show();
    $("trouble").hidden = true;
    const { fresh, moved } = cards.render(slate.rows, fields, actions, compare);
    current.shown().catch(console.warn);
    const changed = [fresh && `${fresh} new`, moved && `${moved} moved`].filter(Boolean).join(", ") || "nothing changed";
    $("changes").textContent = compare ? `${cause ? `${cause}: ` : ""}${changed}` : "";
    fewer(slate);
    const { model, codebook } = info.versions;
    const versions = [model && `model ${model.slice(0, 8)}`, codebook && `codebook ${codebook.slice(0, 8)}`, `policy ${slate.policy_id}`];
    const origin = [`Made in ${Math.max(1, Math.round(slate.timings.total_ms))} ms`, ...versions].filter(Boolean).join(" · ");
    $("made").replaceChildren(origin, " · ", h("a", { href: "openapi.json" }, "the same as JSON"));
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
  }
}

function fewer(slate) {
  const reason = slate.rows.length < K ? slate.reason || `Only ${plural(slate.rows.length, info.item_noun)} left.` : "";
  const clear = filters.count(session.filters) > 0 && h("button", { type: "button", class: "quiet", onclick: clearFilters }, "Clear filters");
  $("fewer").replaceChildren(...(reason ? [h("span", {}, capital(reason)), clear || ""] : []));
  $("fewer").hidden = !reason;
}

const clearFilters = () => filters.empty(fields, session.filters, () => refresh(null));

/** Verdicts are stored one after the other, so that each list follows from all before it. */
function inTurn(work) {
  turn = turn.then(work).catch(trouble);
  return turn;
}

function judge(kind, row, id = newId()) {
  if (!row || !session) return turn;
  const name = brief(row.item);
  const current = session;
  if (!cards.leave(row.item_id, kind)) return turn;
  return inTurn(async () => {
    if (current !== session) return;
    let event;
    try {
      event = await session.act(kind, signs.get(kind), row, null, id);
      survey.show(event.survey, current.id, row.item);
    } catch (error) {
      cards.stay(row.item_id);
      error.again = () => judge(kind, row, id);
      throw error;
    }
    drawPast();
    toast(event.sign > 0 ? `Liked “${name}”` : `No more of “${name}”`, event);
    await refresh(event.sign > 0 ? `Since you liked “${name}”` : `Without “${name}”`);
  });
}

/** Take back an event of the past; by itself the latest, of earlier visits too. */
function undo(which) {
  if (!session) return turn;
  return inTurn(async () => {
    const event = await session.undo(which);
    if (!event) {
      toast("There is nothing to undo.");
      return;
    }
    drawPast();
    toast(`Taken back: “${brief(event.item)}”`);
    await refresh(`“${brief(event.item)}” taken back`);
  });
}

function heard(row, share) {
  if (!session || session.past.some((event) => event.item.item_id === row.item_id)) return;
  const current = session;
  inTurn(async () => {
    const event = await current.act("play", signs.get("play"), row, share);
    if (current !== session) return;
    drawPast();
    survey.show(event.survey, current.id, row.item);
  });
}

setUpTheme($("theme"));
listenToKeys({ ...actions, undo: () => undo(), why: cards.toggleWhy, question: () => survey.isOpen() && $("survey-scale").children[2].focus(), talk: talk.focus, search: () => { home(); $("query").focus(); } });
$("toast-undo").addEventListener("click", () => undo(undoable ?? undefined));
$("change").addEventListener("click", home);
$("home").addEventListener("click", (event) => {
  event.preventDefault();
  home();
});
begin();
