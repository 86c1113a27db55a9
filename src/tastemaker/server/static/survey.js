// The survey question: one small card, five buttons, and a way past it. It never blocks the list and never takes the focus.

import * as api from "./api.js";
import { $, h, title } from "./dom.js";

let open = null; // {question, user, item}
let fail = () => {};

/** `onFail(error)` shows what went wrong when an answer cannot be stored. */
export function setUp(onFail) {
  fail = onFail;
}

/** Show a question about an item; one that is still open stays, for it was asked first. */
export function show(question, user, item) {
  if (!question || open) return;
  open = { question, user, item };
  $("survey-item").textContent = title(item);
  $("survey-text").textContent = question.text;
  $("survey-low").textContent = `1 ${question.low}`;
  $("survey-high").textContent = `5 ${question.high}`;
  $("survey-scale").replaceChildren(...[1, 2, 3, 4, 5].map((value) => step(value, question)));
  $("survey").hidden = false;
}

function step(value, question) {
  const word = { 1: `, ${question.low}`, 5: `, ${question.high}` }[value] || "";
  return h("button", { type: "button", "data-value": value, "aria-label": `${value} of 5${word}`, onclick: () => answer(value) }, String(value));
}

/** Close without asking again; an unanswered question stays unanswered. */
export function forget() {
  open = null;
  $("survey").hidden = true;
}

async function answer(value) {
  const asked = open;
  if (!asked) return;
  const inside = $("survey").contains(document.activeElement);
  forget();
  if (inside) $("main").focus({ preventScroll: true });
  try {
    await api.answer({ question_id: asked.question.question_id, user_id: asked.user, answer: value });
    $("survey-said").textContent = value === null ? "Skipped." : "Thank you.";
  } catch (error) {
    fail(error);
  }
}

export const skip = () => answer(null);
export const isOpen = () => open !== null;

$("survey-skip").addEventListener("click", skip);
$("survey").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") skip();
  else if (/^[1-5]$/.test(event.key)) answer(Number(event.key));
  else return;
  event.preventDefault();
  event.stopPropagation();
});
