// The operator's page: every figure comes from operator.json, part by part; the key is sent with each call and kept by this tab alone.

import { $, cover, h, path } from "./dom.js";
import { setUpTheme } from "./theme.js";

const KEY = "operator-key";
const TITLES = {
  watches: "Watches and alarms",
  load: "Load and errors",
  data: "Data health",
  deployments: "Deployments",
  catalogue: "The catalogue by code",
  ledger: "Exploration ledger",
  experiment: "Running experiment",
  surveys: "Surveys and the proxy",
  conversations: "Conversations",
  cost: "Cost",
};

const words = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

function text(value) {
  if (value === null || value === undefined || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
  if (typeof value === "string") return value.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[^ ]*$/, "$1 $2");
  if (Array.isArray(value)) return value.map(text).join("; ") || "none";
  return Object.entries(value).map(([name, part]) => `${words(name)}: ${text(part)}`).join(", ") || "none";
}

const figures = (values) =>
  h("dl", { class: "figures" }, Object.entries(values).map(([name, value]) => h("div", {}, h("dt", {}, words(name)), h("dd", {}, text(value)))));

function table(title, rows, columns = Object.keys(rows[0])) {
  const cell = (row, name) => {
    const bad = (name === "alarm" && row[name]) || row[name] === "failed" || (name === "5xx" && row[name] > 0);
    return h("td", { class: [typeof row[name] === "number" && "number", bad && "warn", text(row[name]).length > 32 && "long"].filter(Boolean).join(" ") || null }, text(row[name]));
  };
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` },
    h("table", {}, h("caption", { class: Object.values(TITLES).includes(title) ? "unseen" : null }, title),
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, words(name))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((name) => cell(row, name)))))));
}

/** What any part shows: its plain figures, then each list of rows as a table. */
function general(told, title) {
  const lists = Object.entries(told).filter(([, value]) => Array.isArray(value) && value.length && typeof value[0] === "object");
  const plain = Object.fromEntries(Object.entries(told).filter(([name, value]) => name !== "reason" && !Array.isArray(value)));
  return [
    told.reason && h("p", {}, told.reason),
    told.rows?.length === 0 && !told.reason && h("p", {}, "Nothing yet."),
    Object.keys(plain).length > 0 && figures(plain),
    ...lists.map(([name, rows]) => table(name === "rows" ? title : `${title}: ${name}`, rows)),
  ];
}

/** A cover; with a key it is fetched, for an address of an image sends none. */
function picture(item) {
  if (!key() || !item.has_image) return cover(item);
  const place = h("span", {}, cover({ ...item, has_image: false }));
  const headers = { Authorization: `Bearer ${key()}` };
  fetch(`items/${path(item.item_id)}/cover`, { headers }).then(async (answer) => {
    if (answer.ok) place.replaceChildren(h("img", { src: URL.createObjectURL(await answer.blob()), alt: "" }));
  }).catch(() => {});
  return place;
}

const shapes = {
  deployments: (told, title) => {
    const active = (told.rows || []).find((row) => row.active);
    if (!active) return general(told, title);
    const columns = ["active", "name", "created", "age_days", "items", "model", "proxy", "policy", "note"];
    const back = h("button", { type: "button", class: "quiet warn", id: "rollback", onclick: () => rollBack(active.name) }, `Roll back from ${active.name}`);
    return [figures({ active: active.name, "model age in days": active.age_days, items: active.items }), told.rows.length > 1 && back, table(title, told.rows, columns)];
  },
  catalogue: ({ rows, ...told }, title) => [
    ...general(told, title),
    rows && h("ul", { class: "codes", tabindex: "0", "aria-label": "Codes, the fullest first" }, rows.map((row) =>
      h("li", { class: row.crowded ? "crowded" : null },
        h("p", {}, h("b", {}, `Code ${row.code}`), ` ${row.items} ${row.items === 1 ? "item" : "items"}, ${text(row.events)} events${row.crowded ? ", crowded" : ""}`),
        h("div", { class: "neighbours" }, row.neighbours.map((item) => h("figure", { title: item.title }, picture(item), h("figcaption", {}, item.title || item.item_id))))))),
  ],
  surveys: ({ report, ...told }, title) => {
    const calibration = report?.table && table(report.table.title, report.table.rows.map((row) => Object.fromEntries(report.table.columns.map((name, place) => [name, typeof row[place] === "object" && row[place] ? text(row[place].value) : row[place]]))));
    return [...general(told, title), report && h("h3", {}, `Last report of a proxy (${report.at}): ${report.verdict}`), report && h("p", {}, report.because), calibration];
  },
};

const key = () => sessionStorage.getItem(KEY);

async function call(address, body) {
  const headers = { ...(key() && { Authorization: `Bearer ${key()}` }), ...(body && { "Content-Type": "application/json" }) };
  // No cookie: who looked at the page as its visitor may be the operator all the same.
  const how = { method: body ? "POST" : "GET", credentials: "omit", headers };
  const response = await fetch(address, { ...how, ...(body && { body: JSON.stringify(body) }) });
  const told = await response.json().catch(() => ({}));
  if (response.ok) return told;
  if (response.status === 401 || response.status === 403) {
    $("key-form").hidden = false;
    $("key").focus();
  }
  throw new Error(`${told.error || `The server answered ${response.status}`}; ${told.remedy || "try again"}.`);
}

function fail(error) {
  $("trouble").textContent = error.message;
  $("trouble").hidden = false;
}

async function look() {
  $("trouble").hidden = true;
  try {
    for (const [name, title] of Object.entries(TITLES)) {
      const answer = await call(`operator.json?part=${name}`);
      const told = answer[name];
      const rings = (told.rows || []).some((row) => row.alarm) || told.ratio_alarm === true;
      const section = h("section", { class: rings ? "part rings" : "part", id: `part-${name}`, "aria-labelledby": `title-${name}` }, h("h2", { id: `title-${name}` }, title), (shapes[name] || general)(told, title).filter(Boolean));
      const before = $(`part-${name}`);
      if (before) before.replaceWith(section);
      else $("parts").append(section);
      $("at").textContent = `as of ${text(answer.at)} UTC`;
    }
    $("key-form").hidden = true;
  } catch (error) {
    fail(error);
  }
}

async function rollBack(serving) {
  if (!confirm(`Serve what was served before ${serving}?`)) return;
  $("rollback").disabled = true;
  try {
    await call("operator/rollback", { serving });
  } catch (error) {
    fail(error);
    return;
  }
  await look();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  look();
});
$("again").addEventListener("click", look);
setUpTheme($("theme"));
look();
