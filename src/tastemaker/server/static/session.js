// Who is listening, what they did, and what follows from it. Nothing here touches the page.

import * as api from "./api.js";
import { newId } from "./dom.js";

/** A sitting with one listener: a known user, or someone fresh whose history is only what they do here. */
export class Session {
  constructor(user, past = [], seeds = []) {
    this.user = user; // null for a fresh start
    this.id = user ? user.user_id : `visitor-${newId()}`;
    this.past = past.filter((event) => event.item); // [{item, kind, event_id}], oldest first
    this.done = []; // events of this sitting that can be undone, oldest first
    this.filters = {};
    this.request = null;
    this.begun = Promise.resolve();
    for (const item of seeds) this.past.push({ item, kind: "like", event_id: newId(), seed: true });
    if (seeds.length) this.begun = api.tell(this.past.map((event) => this.#record(event)));
  }

  #record(event, extra = {}) {
    return { event_id: event.event_id, user_id: this.id, kind: event.kind, item_id: event.item.item_id, ...extra };
  }

  /** Store an event of the current list, and remember it as something that can be undone. */
  async act(kind, row, value = null) {
    const event = { item: row.item, kind, event_id: newId() };
    const from = this.request ? { request_id: this.request } : {};
    const shown = this.request && row.position !== undefined ? { ...from, position: row.position } : from;
    const told = await api.tell([this.#record(event, value === null ? shown : { ...shown, value })]);
    event.survey = told.survey ?? null; // a question to show once
    this.past.push(event);
    if (kind !== "play") this.done.push(event);
    return event;
  }

  /** Take back the last like or dislike; null when there is none. */
  async undo() {
    const event = this.done.at(-1);
    if (!event) return null;
    await api.tell([{ event_id: newId(), user_id: this.id, kind: "undo", target: event.event_id }]);
    this.done = this.done.filter((one) => one !== event);
    this.past = this.past.filter((one) => one !== event);
    return event;
  }

  /** Ask for the list that follows from everything that stands. */
  async next(k, signal) {
    await this.begun;
    const refused = this.past.filter((event) => event.kind === "not_interested").map((event) => event.item.item_id);
    const heard = this.past.filter((event) => event.kind !== "not_interested").map((event) => event.item.item_id);
    const whom = this.user ? { user_id: this.id } : { history: heard.slice(-1000) };
    const chosen = Object.entries(this.filters).filter(([, values]) => values.length);
    const body = { ...whom, k, exclude: [...new Set(refused)], filters: Object.fromEntries(chosen) };
    const slate = await api.recommend(body, signal);
    this.request = slate.request_id;
    return slate;
  }
}
