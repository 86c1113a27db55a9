// Calls to the server. A busy server says when to come back; everything else that fails carries its remedy.

import { path } from "./dom.js";

export class Trouble extends Error {
  constructor(error, remedy, status = 0) {
    super(error);
    this.remedy = remedy;
    this.status = status;
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function call(address, body, signal, method = "POST", tries = 3) {
  const options = body ? { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : method === "DELETE" ? { method } : {};
  let response;
  try {
    response = await fetch(address, { ...options, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server does not answer.", "Check that it is running, then try again.");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  if ((response.status === 429 || response.status === 503) && tries > 1) {
    await pause(Number(response.headers.get("Retry-After")) || 1);
    return call(address, body, signal, method, tries - 1);
  }
  const problem = await response.json().catch(() => ({}));
  throw new Trouble(problem.error || `The server answered ${response.status}.`, problem.remedy || "Try again.", response.status);
}

export const info = () => call("info");
export const fields = () => call("fields");
export const users = (limit, offset) => call(`users?limit=${limit}&offset=${offset}`);
export const historyAddress = (id) => `users/${path(id)}/history`;
export const history = (id) => call(historyAddress(id));
export const forget = (id) => call(`users/${path(id)}`, null, null, "DELETE");
export const search = (text, signal) => call(`items?limit=8&query=${encodeURIComponent(text)}`, null, signal);
export const recommend = (body, signal) => call("recommendations", body, signal);
export const send = (events) => call("events", { events });
export const answer = (body) => call("surveys", body);
