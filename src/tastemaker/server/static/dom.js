// Small helpers for building the page. Text always goes in as text nodes, so nothing from a catalogue can run.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** An element: h("button", {class: "round", onclick: f}, "text", child, ...); null and false children are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A number in [0, 1) that depends on the text and the turn alone. */
export function chance(text, turn = 0) {
  let hash = 2166136261 ^ turn;
  for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 2246822507);
  hash ^= hash >>> 13;
  return (hash >>> 0) / 4294967296;
}

/** A pattern of bars: the mark of a user, drawn from the id, that cannot be taken for a face. */
export function mark(id, svg = document.createElementNS(SVG, "svg")) {
  svg.setAttribute("viewBox", "0 0 44 44");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("mark", `tint-${Math.floor(chance(id, 99) * 5)}`);
  let path = "";
  for (let bar = 0; bar < 6; bar += 1) {
    const half = 3 + chance(id, bar) * 11;
    path += `M${9.5 + bar * 5} ${22 - half}v${2 * half}`;
  }
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.replaceChildren(line);
  return svg;
}

export const values = (item) =>
  item.attributes.map((pair) => {
    const at = pair.indexOf("=");
    return at < 0 ? ["", pair] : [pair.slice(0, at), pair.slice(at + 1)];
  });

/** The item's name: its title, else its most telling words, else its id. */
export const title = (item) => item.title || values(item).map(([, value]) => value).slice(0, 2).join(", ") || item.item_id;

/** The same for a sentence: a very long one is cut. */
export const brief = (item) => (title(item).length > 60 ? `${title(item).slice(0, 59)}…` : title(item));

/** The item's values for the first filterable fields, in the order of importance that the server gave. */
export function facts(item, fields, most = 3) {
  const own = [...values(item), ...Object.entries(item.facts || {}).map(([name, [value]]) => [name, value])];
  const known = fields.flatMap((field) => own.filter(([name]) => name === field.name).slice(0, 1));
  return (known.length ? known : own).slice(0, most).map(([, value]) => value);
}

/** The cover, or a tile with initials where there is none or it cannot be loaded. */
export function cover(item) {
  const words = title(item).replace(/^(the|an?) /i, "").match(/[\p{L}\p{N}]+/gu) || ["?"];
  const letters = words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join("");
  const tile = () => h("span", { class: `tile tint-${Math.floor(chance(item.item_id, 99) * 5)}`, "aria-hidden": "true" }, letters);
  if (!item.has_image) return tile();
  const image = h("img", { src: `items/${path(item.item_id)}/cover`, alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  image.addEventListener("error", () => image.replaceWith(tile()), { once: true });
  return image;
}

/** An id as part of an address; slashes stay. */
export const path = (id) => id.split("/").map(encodeURIComponent).join("/");

export const words = (name) => name.replaceAll("_", " ");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
export const newId = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
