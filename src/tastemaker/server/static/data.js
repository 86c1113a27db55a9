// "Your data": the id under which this browser is remembered, everything kept under it, and the way to be forgotten.

import * as api from "./api.js";
import { $, plural } from "./dom.js";
import { arrive, visitorHistory, visitorId } from "./session.js";

let fail = () => {};
let gone = () => {};

/** `onFail(error)` shows what went wrong; `onGone()` follows when everything was deleted. */
export function setUp(onFail, onGone) {
  fail = onFail;
  gone = onGone;
}

/** Show the button to "your data" when there is any. */
export function show() {
  $("data-open").hidden = visitorId() === null;
}

async function open() {
  const id = visitorId();
  ask(false);
  try {
    const events = await visitorHistory();
    $("data-id").textContent = id;
    $("data-count").textContent = `${plural(events.length, "event")}: what you played, liked and refused; and the lists you were shown.`;
    $("data-take").href = api.historyAddress(id);
    $("data-take").download = `tastemaker-${id}.json`;
    $("data-said").href = api.conversationsAddress(id);
    $("data-said").download = `tastemaker-${id}-conversations.json`;
    $("data").showModal();
  } catch (error) {
    fail(error);
  }
  show();
}

function ask(sure) {
  $("data-delete").hidden = sure;
  $("data-sure").hidden = !sure;
  if (sure) $("data-keep").focus();
}

async function erase() {
  const id = visitorId();
  try {
    await api.forget(id);
    await arrive();
    $("data").close();
    show();
    gone();
  } catch (error) {
    $("data").close();
    fail(error);
  }
}

$("data-open").addEventListener("click", open);
$("data-delete").addEventListener("click", () => ask(true));
$("data-keep").addEventListener("click", () => ask(false));
$("data-erase").addEventListener("click", erase);
