// Calls to the server. A busy server says when to come back; everything else that fails carries its remedy.

import { path } from "./dom.js";

export class Trouble extends Error {
  constructor(error, remedy, status = 0) {
    super(error);
    this.remedy = remedy;
    this.status = status;
  }
}

let acting = {}; // tokens of those whom the page may act for beside its visitor, whom a cookie names

/** From now on act for somebody by a token; with none, as the visitor alone. */
export const actWith = (id, token) => (acting = id ? { [id]: token } : {});

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** The answer to one call, for `whom` where it is about somebody. */
async function ask(address, { body, signal, whom, token = acting[whom], method = body ? "POST" : "GET" } = {}, tries = 3) {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { "Content-Type": "application/json" }) };
  const options = { method, headers, ...(body && { body: JSON.stringify(body) }) };
  let response;
  try {
    response = await fetch(address, { ...options, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server does not answer.", "Check that it is running, then try again.");
  }
  if (response.ok) return response;
  if ((response.status === 429 || response.status === 503) && tries > 1) {
    await pause(Number(response.headers.get("Retry-After")) || 1);
    return ask(address, { body, signal, whom, token, method }, tries - 1);
  }
  const problem = await response.json().catch(() => ({}));
  throw new Trouble(problem.error || `The server answered ${response.status}.`, problem.remedy || "Try again.", response.status);
}

async function call(address, options) {
  const response = await ask(address, options);
  return response.status === 204 ? null : response.json();
}

export const session = (body = {}, token) => call("session", { body, token });
export const info = () => call("info");
export const fields = () => call("fields");
/** Known users; that somebody is simulated is said beside the name, so not in it. */
export const users = async (limit, offset) =>
  (await call(`users?limit=${limit}&offset=${offset}`)).map((user) => ({ ...user, label: user.simulated ? user.label.replace(/ *\(simulated\)$/i, "") || user.label : user.label }));
export const historyAddress = (id) => `users/${path(id)}/history`;
export const conversationsAddress = (id) => `users/${path(id)}/conversations`;
export const history = (id) => call(historyAddress(id), { whom: id });
export const forget = (id) => call(`users/${path(id)}`, { whom: id, method: "DELETE" });
export const search = (text, signal) => call(`items?limit=8&query=${encodeURIComponent(text)}`, { signal });
export const recommend = (body, signal) => call("recommendations", { body, signal, whom: body.user_id });
export const shown = (body) => call("impressions", { body, whom: body.user_id });
export const send = (events) => call("events", { body: { events }, whom: events[0].user_id });
export const answer = (body) => call("surveys", { body, whom: body.user_id });

/** The parts of one turn of the conversation, as they come. */
export async function* talk(body, signal) {
  const response = await ask("assist", { body, signal, whom: body.user_id });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (waiting + value).split("\n\n");
    waiting = events.pop();
    for (const event of events) yield JSON.parse(event.replace(/^data: /, ""));
  }
}
