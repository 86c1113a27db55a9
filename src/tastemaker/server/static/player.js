// One sound at a time: the audio element, its bar at the foot of the page, and the state that cards show.

import { $, capital, cover, facts, icon, path, title } from "./dom.js";

const audio = new Audio();
audio.preload = "none";
let row = null;
let furthest = 0;
let fields = [];
let heard = () => {};
let failed = () => {};

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export const playing = () => (row && !audio.paused ? row.item_id : null);

/** Set what to call when a sound was heard (row, share) or could not be played (row). */
export function setUp(shownFields, onHeard, onFailed) {
  fields = shownFields;
  heard = onHeard;
  failed = onFailed;
}

export function toggle(wanted) {
  if (!wanted.item.has_audio) return;
  if (row && row.item_id === wanted.item_id) {
    if (audio.paused) start();
    else audio.pause();
    return;
  }
  finish();
  row = wanted;
  furthest = 0;
  audio.src = `items/${path(row.item_id)}/audio`;
  $("player-title").textContent = title(row.item);
  $("player-facts").textContent = facts(row.item, fields, 2).map(capital).join(" · ");
  $("player-cover").replaceChildren(cover(row.item));
  $("player").hidden = false;
  document.body.classList.add("with-player");
  start();
}

function start() {
  const wanted = row;
  audio.play().catch((error) => {
    if (error.name !== "AbortError" && row === wanted) {
      stop();
      failed(wanted);
    }
  });
}

/** Say how much of the current sound was heard; a glance of less than a tenth does not count. */
function finish() {
  if (row && furthest >= 0.1) heard(row, Math.min(1, Math.round(furthest * 100) / 100));
  furthest = 0;
}

export function stop() {
  finish();
  row = null;
  audio.pause();
  audio.removeAttribute("src");
  $("player").hidden = true;
  document.body.classList.remove("with-player");
  show();
}

/** Mark the card that sounds, and keep the bar in step. */
export function show() {
  const share = audio.duration > 0 ? audio.currentTime / audio.duration : 0;
  furthest = Math.max(furthest, share);
  const id = playing();
  for (const card of document.querySelectorAll("[data-item]")) {
    const current = row !== null && card.dataset.item === row.item_id;
    card.classList.toggle("sounding", current && id !== null);
    card.style.setProperty("--heard", current ? share : 0);
    const button = card.querySelector(".play");
    const name = current && id !== null ? "pause" : "play";
    if (button && button.dataset.shows !== name) {
      button.dataset.shows = name;
      button.replaceChildren(icon(name));
      button.setAttribute("aria-label", `${name === "play" ? "Play" : "Pause"} ${button.dataset.title}`);
    }
  }
  if (!row) return;
  const button = $("player-toggle");
  button.replaceChildren(icon(id ? "pause" : "play"));
  button.setAttribute("aria-label", id ? "Pause" : "Play");
  const seek = $("player-seek");
  seek.value = Math.round(share * 1000);
  seek.style.setProperty("--heard", share);
  seek.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(audio.duration || 0)}`);
  $("player-time").textContent = audio.duration > 0 ? `${clock(audio.currentTime)} / ${clock(audio.duration)}` : "";
}

for (const name of ["play", "pause", "timeupdate", "loadedmetadata", "seeked"]) audio.addEventListener(name, show);
audio.addEventListener("ended", () => {
  furthest = 1;
  finish();
  show();
});
$("player-toggle").addEventListener("click", () => row && toggle(row));
$("player-close").addEventListener("click", stop);
$("player-seek").addEventListener("input", (event) => {
  if (audio.duration > 0) audio.currentTime = (event.target.value / 1000) * audio.duration;
});
