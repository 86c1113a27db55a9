// One menu per filterable field. Within a field any chosen value will do; across fields all must hold.
// On a phone the first few are shown, and a button for the others.

import { $, capital, h, icon, words } from "./dom.js";

const MOST = 60; // values shown per field; the commonest
const EDGE = 8; // pixels between a menu and the edge of the window

/** Draw the menus for `fields`; `chosen` ({name: [values]}) is edited in place and `changed` called after each edit. */
export function draw(fields, chosen, changed) {
  const menus = fields.filter((field) => field.values.length > 1).map((field) => menu(field, chosen, changed));
  const clear = h("button", { type: "button", class: "quiet clear", onclick: () => empty(fields, chosen, changed) }, "Clear filters");
  clear.hidden = !count(chosen);
  const more = h("button", { type: "button", class: "quiet more", "aria-expanded": "false", onclick: () => expand(!$("filters").classList.contains("all")) }, "More filters");
  $("filters").replaceChildren(...menus, ...(menus.length > 3 ? [more] : []), clear);
  expand($("filters").classList.contains("all"));
}

function expand(all) {
  const more = $("filters").querySelector(".more");
  $("filters").classList.toggle("all", all);
  more?.setAttribute("aria-expanded", String(all));
  more?.replaceChildren(all ? "Fewer filters" : "More filters");
}

/** Place a menu that was opened so that all of it lies inside the window: sideways, upwards, no taller than the room. */
function fit(details) {
  const options = details.querySelector(".options");
  options.classList.remove("placed", "up");
  options.style.cssText = "";
  if (!details.open) return;
  const summary = details.querySelector("summary");
  if (summary.getBoundingClientRect().bottom > document.documentElement.clientHeight) summary.scrollIntoView({ block: "nearest" });
  const button = summary.getBoundingClientRect();
  const { width, height } = options.getBoundingClientRect(); // out of the way while it is not placed
  const { clientWidth, clientHeight } = document.documentElement;
  const below = clientHeight - button.bottom - 2 * EDGE;
  const above = button.top - 2 * EDGE;
  const up = height > below && above > below;
  options.style.setProperty("--room", `${Math.max(64, up ? above : below)}px`);
  options.style.setProperty("--shift", `${Math.max(EDGE - button.left, Math.min(0, clientWidth - EDGE - button.left - width))}px`);
  options.classList.add("placed", ...(up ? ["up"] : []));
}

export const count = (chosen) => Object.values(chosen).reduce((sum, values) => sum + values.length, 0);

export function empty(fields, chosen, changed) {
  for (const name of Object.keys(chosen)) delete chosen[name];
  draw(fields, chosen, changed);
  changed();
}

function menu(field, chosen, changed) {
  const name = field.label || capital(words(field.name));
  const label = h("span", { class: "menu-name" });
  const say = () => {
    const values = chosen[field.name] || [];
    label.textContent = values.length === 0 ? name : values.length === 1 ? `${name}: ${values[0]}` : `${name}: ${values.length} chosen`;
    details.classList.toggle("chosen", values.length > 0);
  };
  const common = [...field.values].sort((a, b) => b.count - a.count).slice(0, MOST);
  const boxes = common.map(({ value, count: items }) => {
    const box = h("input", { type: "checkbox", value, name: field.name });
    box.checked = (chosen[field.name] || []).includes(value);
    box.addEventListener("change", () => {
      const others = (chosen[field.name] || []).filter((other) => other !== value);
      chosen[field.name] = box.checked ? [...others, value] : others;
      say();
      $("filters").querySelector(".clear").hidden = !count(chosen);
      changed();
    });
    return h("label", {}, box, h("span", {}, value), h("span", { class: "count" }, items.toLocaleString("en")));
  });
  const details = h("details", { class: "menu", name: "filter", ontoggle: () => fit(details) }, h("summary", {}, label, icon("down")), h("div", { class: "options" }, boxes));
  say();
  return details;
}

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".menu[open]")) if (!open.contains(event.target)) open.open = false;
});
addEventListener("resize", () => document.querySelectorAll(".menu[open]").forEach(fit));
$("filters").addEventListener("keydown", (event) => {
  const open = event.target.closest(".menu[open]");
  if (event.key === "Escape" && open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
