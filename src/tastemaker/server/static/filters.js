// One menu per filterable field: boxes, or from and to where it holds numbers. Within a field any chosen value
// will do; across fields all must hold.
// On a phone the first few are shown, and a button for the others.

import { $, capital, h, icon, words } from "./dom.js";

const MOST = 60; // values shown per field; the commonest
const FEW = 8; // numbers up to which a field is chosen from by boxes rather than by a range
const EDGE = 8; // pixels between a menu and the edge of the window

/** Draw the menus for `fields`; `chosen` ({name: [values]}) is edited in place and `changed` called after each edit. */
export function draw(fields, chosen, changed) {
  const menus = fields.filter((field) => field.values.length > 1 || ranged(field)).map((field) => menu(field, chosen, changed));
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
  const now = () => chosen[field.name] || [];
  const say = () => {
    label.textContent = now().length === 0 ? name : now().length === 1 ? `${name}: ${told(now()[0])}` : `${name}: ${now().length} chosen`;
    details.classList.toggle("chosen", now().length > 0);
  };
  const choose = (values) => {
    chosen[field.name] = values;
    say();
    fit(details); // a longer name may have moved it to another line
    $("filters").querySelector(".clear").hidden = !count(chosen);
    changed();
  };
  const options = ranged(field) ? range(field, name, now, choose) : boxes(field, now, choose);
  const details = h("details", { class: "menu", name: "filter", ontoggle: () => fit(details) }, h("summary", {}, label, icon("down")), options);
  say();
  return details;
}

function boxes(field, now, choose) {
  const common = [...field.values].sort((a, b) => b.count - a.count).slice(0, MOST);
  const labels = common.map(({ value, count: items }) => {
    const box = h("input", { type: "checkbox", value, name: field.name });
    box.checked = now().includes(value);
    box.addEventListener("change", () => {
      const others = now().filter((other) => other !== value);
      choose(box.checked ? [...others, value] : others);
    });
    return h("label", {}, box, h("span", {}, value), h("span", { class: "count" }, items.toLocaleString("en")));
  });
  return h("div", { class: "options" }, labels);
}

/** Whether a field is narrowed by a range: of numbers, and of more of them than a few boxes could show. */
const ranged = (field) => field.low < field.high && (field.values.length < 2 || field.values.length > FEW);

/** A filter's value as it is said: "20..50" is "20 to 50". */
const told = (value) => value.replace(/^(.+)\.\.(.+)$/, "$1 to $2").replace(/^\.\.(.+)$/, "up to $1").replace(/^(.+)\.\.$/, "from $1");

/** Two fields for numbers, either of which may stay empty; what cannot be a range is said and changes nothing. */
function range(field, name, now, choose) {
  const [from = "", to = ""] = (now()[0] || "").split("..");
  const hint = h("p", { class: "hint", id: `ends-${field.name}` }, `${field.low} to ${field.high}`);
  const wrong = h("p", { class: "wrong", id: `wrong-${field.name}`, role: "alert" });
  const about = `${hint.id} ${wrong.id}`;
  const input = (value, bound) => h("input", { type: "number", step: "any", value, placeholder: bound, "aria-describedby": about, onchange: read });
  const ends = [input(from, field.low), input(to, field.high)];
  function read() {
    const [low, high] = ends.map((end) => end.valueAsNumber);
    const odd = ends.find((end) => end.validity.badInput);
    wrong.textContent = odd ? "That is no number; nothing was changed." : low > high ? `From ${low} to ${high} is nothing: “from” is above “to”. Nothing was changed.` : "";
    for (const end of ends) end.setAttribute("aria-invalid", String(odd ? end === odd : low > high));
    if (wrong.textContent) return fit(wrong.closest(".menu"));
    const said = ends.map((end) => (end.value === "" ? "" : String(end.valueAsNumber)));
    const value = said.join("..");
    choose(value === ".." ? [] : [value]);
  }
  const labels = ["From", "To"].map((word, place) => h("label", {}, h("span", {}, word), ends[place]));
  return h("div", { class: "options range", role: "group", "aria-label": name }, labels, hint, wrong);
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
