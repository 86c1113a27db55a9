// The page: two views, one session, and what happens between a verdict and the next list.

import * as api from "./api.js";
import * as cards from "./cards.js";
import { $, capital, h, mark, plural, title } from "./dom.js";
import * as filters from "./filters.js";
import { listenToKeys } from "./keys.js";
import * as past from "./past.js";
import * as player from "./player.js";
import { Session } from "./session.js";
import * as start from "./start.js";
import * as survey from "./survey.js";
import { setUpTheme } from "./theme.js";

const K = 12;
let info = null;
let fields = [];
let session = null;
let asking = null;
let turn = Promise.resolve();

const actions = { play: (row) => player.toggle(row), like: (row) => judge("like", row), refuse: (row) => judge("not_interested", row) };

function trouble(error) {
  console.error(error);
  const again = h("button", { type: "button", class: "quiet", onclick: () => (session ? refresh(null) : begin()) }, "Try again");
  $("trouble").replaceChildren(h("p", {}, h("strong", {}, error.message), " ", error.remedy || ""), again);
  $("trouble").hidden = false;
}

let fading = 0;
function toast(text, canUndo = false) {
  $("toast-text").textContent = text;
  $("toast-undo").hidden = !canUndo;
  $("toast").classList.add("up");
  clearTimeout(fading);
  fading = setTimeout(() => $("toast").classList.remove("up"), canUndo ? 7000 : 3500);
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
    [info, fields] = await Promise.all([api.info(), api.fields()]);
    $("trouble").hidden = true;
    $("dataset").textContent = [info.dataset, info.counts.items && plural(info.counts.items, info.item_noun)].filter(Boolean).join(" · ");
    $("notice").textContent = info.notice || (info.simulated ? `Every ${info.user_noun} here is simulated.` : "");
    $("notice").hidden = !$("notice").textContent;
    survey.setUp(trouble);
    player.setUp(fields, heard, (row) => toast(`“${title(row.item)}” cannot be played.`));
    const wanted = new URLSearchParams(location.hash.slice(1)).get("user");
    await start.setUp(info, fields, open, trouble);
    if (wanted) await open((await api.users(200, 0)).find((user) => user.user_id === wanted) || { user_id: wanted, label: wanted, simulated: info.simulated }, []);
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
}

/** Take up a sitting with a known user, or fresh with the given items. */
async function open(user, seeds) {
  try {
    player.stop();
    survey.forget();
    const events = user ? await api.history(user.user_id) : [];
    session = new Session(user, events, seeds);
    history.replaceState(null, "", user ? `#user=${encodeURIComponent(user.user_id)}` : location.pathname);
    mark(session.id, $("whom-mark"));
    $("whom-kind").textContent = user ? (user.simulated ? `Simulated ${info.user_noun}` : `Recorded ${info.user_noun}`) : "Fresh start";
    $("for-whom").textContent = user ? `For ${user.label}` : "For you";
    const kept = "Your answers stay on the machine that serves this page.";
    const told = user?.simulated ? "Not a person: a program made this history." : null;
    $("whom-note").textContent = user ? [user.note && `${capital(user.note)}.`, told].filter(Boolean).join(" ") : kept;
    document.title = `${$("for-whom").textContent} – Tastemaker`;
    $("past").replaceChildren();
    past.draw(session, info, fields);
    filters.draw(fields, session.filters, () => refresh(null));
    $("changes").textContent = "";
    cards.skeleton(K);
    view("listen");
    await refresh(null, false);
  } catch (error) {
    trouble(error);
  }
}

/** Fetch and show the next list; `cause` is what it answers to, for the line above it. */
async function refresh(cause, compare = true) {
  asking?.abort();
  asking = new AbortController();
  const mine = session;
  try {
    const slate = await session.next(K, asking.signal);
    if (mine !== session) return;
    $("trouble").hidden = true;
    const { fresh, moved } = cards.render(slate.rows, fields, actions, compare);
    const changed = [fresh && `${fresh} new`, moved && `${moved} moved`].filter(Boolean).join(", ") || "nothing changed";
    $("changes").textContent = compare ? `${cause ? `${cause}: ` : ""}${changed}` : "";
    fewer(slate);
    const { model, codebook } = info.versions;
    const versions = [model && `model ${model.slice(0, 8)}`, codebook && `codebook ${codebook.slice(0, 8)}`, `policy ${slate.policy_id}`];
    const made = [`Made in ${Math.max(1, Math.round(slate.timings.total_ms))} ms`, ...versions].filter(Boolean).join(" · ");
    $("made").replaceChildren(made, " · ", h("a", { href: "openapi.json" }, "the same as JSON"));
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

function judge(kind, row) {
  if (!row || !session) return turn;
  const name = title(row.item);
  const mine = session;
  cards.leave(row.item_id, kind);
  return inTurn(async () => {
    if (mine !== session) return;
    try {
      const event = await session.act(kind, row);
      survey.show(event.survey, mine.id, row.item);
    } catch (error) {
      cards.stay(row.item_id);
      throw error;
    }
    past.draw(session, info, fields);
    toast(kind === "like" ? `Liked “${name}”` : `No more of “${name}”`, true);
    await refresh(kind === "like" ? `Since you liked “${name}”` : `Without “${name}”`);
  });
}

function undo() {
  if (!session) return turn;
  return inTurn(async () => {
    const event = await session.undo();
    if (!event) {
      toast("There is nothing to undo.");
      return;
    }
    past.draw(session, info, fields);
    toast(`Taken back: “${title(event.item)}”`);
    await refresh(`“${title(event.item)}” taken back`);
  });
}

function heard(row, share) {
  if (!session || session.past.some((event) => event.item.item_id === row.item_id)) return;
  const mine = session;
  inTurn(async () => {
    const event = await mine.act("play", row, share);
    if (mine !== session) return;
    past.draw(session, info, fields);
    survey.show(event.survey, mine.id, row.item);
  });
}

setUpTheme($("theme"));
listenToKeys({ ...actions, undo, why: cards.toggleWhy, question: () => survey.isOpen() && $("survey-scale").children[2].focus(), search: () => { home(); $("query").focus(); } });
$("toast-undo").addEventListener("click", undo);
$("change").addEventListener("click", home);
$("home").addEventListener("click", (event) => {
  event.preventDefault();
  home();
});
begin();
