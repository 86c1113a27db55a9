// Who is listening, what they did, and what follows from it. Nothing here touches the page.

import * as api from "./api.js";
import { newId } from "./dom.js";

const PREFIX = "visitor-";
let me = null; // {user_id, known}: this browser's visitor, whom a cookie brings back

export const isVisitor = (id) => id.startsWith(PREFIX);

/** Ask the server who the visitor is: who was here before, the person of a token in the address, or somebody new. */
export async function arrive(token) {
  me = await api.session({}, token);
}

/** Act for a known user from now on, or with null for the visitor alone. */
export async function actFor(user) {
  api.actWith(user?.user_id, user && (await api.session({ user_id: user.user_id })).token);
}

/** The visitor's id once anything is kept about them; null before. */
export const visitorId = () => (me?.known ? me.user_id : null);

/** What the visitor did on earlier visits; empty for a new one. */
export async function visitorHistory() {
  if (!visitorId()) return [];
  try {
    return await api.history(me.user_id);
  } catch (error) {
    if (error.status !== 404) throw error;
    me.known = false; // everything was taken back, or erased elsewhere
    return [];
  }
}

/** One visit of a known user, or of this browser's visitor, whose history is what they did here. */
export class Session {
  constructor(user, past = [], seeds = []) {
    this.user = user; // null for a visitor
    this.id = user ? user.user_id : me.user_id;
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
    if (!this.user) me.known = true;
    return answer;
  }

  #record(event, extra = {}) {
    return { event_id: event.event_id, user_id: this.id, kind: event.kind, item_id: event.item.item_id, ...extra };
  }

  /** The latest event about an item; undefined when there is none. */
  latest(itemId) {
    return this.past.findLast((event) => event.item.item_id === itemId);
  }

  /** Store an event about an item, of the current list where it has a position. `sign` is what the kind says;
   *  `id` that of an earlier try, whose answer may have been lost: the server stores an id once. */
  async act(kind, sign, row, value = null, id = newId()) {
    const event = { item: row.item, kind, sign, event_id: id, fresh: true };
    const request = row.request_id || (row.position !== undefined && this.request);
    const shown = request ? { request_id: request, position: row.position } : {};
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

  /** Read again what is kept, as the server has it now; false when it was erased. */
  async reread(signed) {
    const before = new Set(this.past.map((event) => event.event_id));
    try {
      if (!this.user) await arrive();
      if (!this.user && me.user_id !== this.id) return false;
      const events = await api.history(this.id);
      this.past = events.filter((event) => event.item).map((event) => ({ ...signed(event), fresh: !before.has(event.event_id) }));
      return true;
    } catch (error) {
      if (error.status === 404) return false;
      throw error;
    }
  }

  /** Ask for the list that follows from everything that stands: the server knows it, and what it means. */
  async next(k, signal) {
    await this.begun;
    const chosen = Object.entries(this.filters).filter(([, values]) => values.length);
    const slate = await api.recommend({ user_id: this.id, k, filters: Object.fromEntries(chosen), confirm: true }, signal);
    this.request = slate.request_id;
    return slate;
  }

  /** Tell that the list is on the screen: what nobody saw teaches nothing. */
  shown() {
    return api.shown({ request_id: this.request, user_id: this.id });
  }
}
