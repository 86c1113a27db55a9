// Who is listening, what they did, and what follows from it. Nothing here touches the page.

import * as api from "./api.js";
import { newId } from "./dom.js";

const KEY = "visitor";
const PREFIX = "visitor-";
let sitting = null; // the id where the browser refuses storage, as private windows may: it lasts as long as the page

export const isVisitor = (id) => id.startsWith(PREFIX);

/** The id under which this browser was here before; null when it was not. */
export function visitorId() {
  try {
    return localStorage.getItem(KEY) ?? sitting;
  } catch {
    return sitting;
  }
}

/** Keep the visitor's id for the next visit, or with null keep none. */
export function setVisitor(id) {
  sitting = id;
  try {
    if (id === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, id);
  } catch {
    // It stays in `sitting`.
  }
}

/** What this browser's visitor did on earlier visits; empty for a new one, and for one the server has forgotten. */
export async function visitorHistory() {
  const id = visitorId();
  if (!id) return [];
  try {
    return await api.history(id);
  } catch (error) {
    if (error.status !== 404) throw error;
    setVisitor(null);
    return [];
  }
}

/** One visit of a known user, or of this browser's visitor, whose history is what they did here. */
export class Session {
  constructor(user, past = [], seeds = []) {
    this.user = user; // null for a visitor
    this.id = user ? user.user_id : visitorId() || `${PREFIX}${newId()}`;
    this.past = past.filter((event) => event.item); // [{item, kind, sign, event_id, fresh}], oldest first
    this.filters = {};
    this.request = null;
    this.begun = Promise.resolve();
    const events = seeds.map((item) => ({ item, kind: "like", sign: 1, event_id: newId(), fresh: true }));
    this.past.push(...events);
    if (events.length) this.begun = this.#send(events.map((event) => this.#record(event)));
  }

  async #send(events) {
    const answer = await api.send(events);
    if (!this.user) setVisitor(this.id);
    return answer;
  }

  #record(event, extra = {}) {
    return { event_id: event.event_id, user_id: this.id, kind: event.kind, item_id: event.item.item_id, ...extra };
  }

  /** The latest event about an item; undefined when there is none. */
  latest(itemId) {
    return this.past.findLast((event) => event.item.item_id === itemId);
  }

  /** Store an event about an item, of the current list where it has a position. `sign` is what the kind says. */
  async act(kind, sign, row, value = null) {
    const event = { item: row.item, kind, sign, event_id: newId(), fresh: true };
    const from = this.request ? { request_id: this.request } : {};
    const shown = this.request && row.position !== undefined ? { ...from, position: row.position } : {};
    const answer = await this.#send([this.#record(event, value === null ? shown : { ...shown, value })]);
    event.survey = answer.survey ?? null; // a question to show once
    this.past.push(event);
    return event;
  }

  /** Take back an event, by itself the latest that the server can take back; null when there is none. */
  async undo(event = this.past.findLast((past) => past.event_id)) {
    if (!event) return null;
    await this.#send([{ event_id: newId(), user_id: this.id, kind: "undo", target: event.event_id }]);
    this.past = this.past.filter((past) => past !== event);
    return event;
  }

  /** Ask for the list that follows from everything that stands: the server knows it, and what it means. */
  async next(k, signal) {
    await this.begun;
    const whom = this.user || this.past.length ? { user_id: this.id } : { history: [] };
    const chosen = Object.entries(this.filters).filter(([, values]) => values.length);
    const slate = await api.recommend({ ...whom, k, filters: Object.fromEntries(chosen) }, signal);
    this.request = slate.request_id;
    return slate;
  }
}
