"use strict";
// The page shows every photo without this script, best first; here they are sorted, filtered,
// chosen and looked at.

const byId = (id) => document.getElementById(id);
const list = byId("photos");
const cards = [...list.children];
let shown = cards;
let current = null;

const number = (card, key) => (card.dataset[key] ? Number(card.dataset[key]) : null);
const isFailed = (card) => card.classList.contains("failed");
const isChosen = (card) => card.querySelector(".choose input").checked;
const opener = (card) => card.querySelector(".open");

// What a sort compares, whether it begins with the largest, and what that is called from the largest
// and from the smallest on. Photos that lack the value stay last.
const BY_SIZE = ["highest first", "lowest first"];
const BY_PLACE = ["from the end", "from the start"];
const SORTS = {
  score: { key: (card) => number(card, "score"), down: true, words: BY_SIZE },
  percentile: { key: (card) => number(card, "percentile"), down: true, words: BY_SIZE },
  spread: { key: (card) => number(card, "spread"), down: true, words: BY_SIZE },
  name: { key: (card) => number(card, "name"), down: false, words: ["Z to A", "A to Z"] },
  burst: { key: (card) => number(card, "burst"), down: false, words: BY_PLACE },
  error: { key: (card) => (isFailed(card) ? 0 : 1), down: false, words: ["errors last", "errors first"] },
  given: { key: (card) => number(card, "given"), down: false, words: BY_PLACE },
};
let down = true;

function compare(sort) {
  const sign = down ? -1 : 1;
  return (a, b) => {
    const [x, y] = [sort.key(a), sort.key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    // Equal ones keep their order, best first.
    return sign * (x - y);
  };
}

function inRange(card, key) {
  const [from, to] = [byId(`${key}-from`).value, byId(`${key}-to`).value];
  const value = number(card, key);
  if (from === "" && to === "") return true;
  return value !== null && (from === "" || value >= from) && (to === "" || value <= to);
}

const KINDS = {
  all: () => true,
  scored: (card) => !isFailed(card),
  failed: isFailed,
  chosen: isChosen,
  burst: (card) => Boolean(card.dataset.burst),
  best: (card) => !isFailed(card) && (!card.dataset.burst || card.dataset.place === "1"),
};

function activeFilters() {
  const fields = ["burst", "score-from", "score-to", "percentile-from", "percentile-to"];
  return fields.filter((id) => byId(id).value !== "").length + (byId("kind").value !== "all");
}

/** Show what passes the filters, in the chosen order. */
function update() {
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kind = KINDS[byId("kind").value];
  const burst = byId("burst").value;
  const passes = (card) =>
    kind(card) &&
    (burst === "" || card.dataset.burst === burst) &&
    inRange(card, "score") &&
    inRange(card, "percentile") &&
    words.every((word) => card.dataset.path.toLowerCase().includes(word));
  const focused = document.activeElement;
  shown = cards.filter(passes).sort(compare(SORTS[byId("sort").value]));
  const visible = new Set(shown);
  for (const card of cards) card.hidden = !visible.has(card);
  const ordered = document.createDocumentFragment();
  for (const card of shown) ordered.append(card);
  list.append(ordered);
  // Moving an element takes the focus from it.
  if (list.contains(focused) && !focused.closest("li")?.hidden) focused.focus();
  if (!visible.has(current)) setCurrent(shown[0] ?? null);
  byId("count").textContent = `${shown.length} of ${cards.length} photos shown`;
  byId("nothing").hidden = shown.length > 0;
  byId("active").textContent = activeFilters() ? ` (${activeFilters()} in use)` : "";
  byId("direction").textContent = SORTS[byId("sort").value].words[down ? 0 : 1];
}

function setTabIndex(card, value) {
  for (const stop of card.querySelectorAll("a, button, input")) stop.tabIndex = value;
}

/** The one photo that the Tab key stops at; arrows move on from it. */
function setCurrent(card) {
  if (current) setTabIndex(current, -1);
  current = card;
  if (current) setTabIndex(current, 0);
}

function focusCard(card) {
  if (!card) return;
  setCurrent(card);
  opener(card).focus();
  card.scrollIntoView({ block: "nearest" });
}

function columns() {
  return getComputedStyle(list).gridTemplateColumns.split(" ").length;
}

function moved(card, key) {
  const place = shown.indexOf(card);
  const places = {
    ArrowLeft: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place - columns(),
    ArrowDown: place + columns(),
    Home: 0,
    End: shown.length - 1,
  };
  return key in places ? (shown[places[key]] ?? card) : null;
}

function choose(card, wanted) {
  card.querySelector(".choose input").checked = wanted;
  keep([card]);
  noteChosen();
}

// Choices outlive the page: in this browser, and at the server that shows the page, if one does.
// What the server has not confirmed yet is kept here first, so that no click is lost by leaving.

const SERVER = document.body.dataset.choices;
const STORE = `nima-choices:${location.pathname}:${document.title}`;
let atServer = Boolean(SERVER); // not if the folder cannot be written
let local = {}; // by key: the chosen; of a server, choices and their ends that it has not confirmed
let sending = false;

function keyOf(card) {
  const link = SERVER ? card.querySelector("h3 a") : null;
  return link ? link.href.split("/").pop() : card.dataset.path;
}

function readLocal() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

function writeLocal() {
  try {
    localStorage.setItem(STORE, JSON.stringify(local));
    return true;
  } catch {
    return false;
  }
}

function keep(changed) {
  for (const card of changed) {
    if (isChosen(card) || atServer) local[keyOf(card)] = isChosen(card);
    else delete local[keyOf(card)];
  }
  const written = writeLocal();
  if (atServer) send();
  else if (!written) byId("kept").textContent = "not kept: this browser stores nothing";
}

/** Tell the server, one choice after the other; what fails is tried again. */
async function send() {
  if (sending) return;
  sending = true;
  for (let [key] = Object.keys(local); key; [key] = Object.keys(local)) {
    const chosen = local[key];
    try {
      const answer = await fetch(`${SERVER}/${key}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ chosen }),
        keepalive: true,
      });
      // A photo that the server no longer knows has no choice to keep.
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
    } catch {
      byId("kept").textContent = "not yet at the server, which does not answer; kept in this browser";
      setTimeout(send, 2000);
      break;
    }
    if (local[key] === chosen) delete local[key];
    writeLocal();
    byId("kept").textContent = "";
  }
  sending = false;
}

/** Show what was chosen before, here or at the server; what was clicked meanwhile stands. */
async function recall() {
  local = readLocal();
  const known = new Set();
  if (SERVER) {
    try {
      const answer = await (await fetch(SERVER)).json();
      for (const key of answer.chosen) known.add(key);
      atServer = answer.kept;
      if (!atServer) byId("kept").textContent = "kept in this browser: the folder cannot be written";
    } catch {
      byId("kept").textContent = "the server does not say what was chosen before";
    }
    if (atServer) send();
  }
  for (const card of cards) {
    const key = keyOf(card);
    card.querySelector(".choose input").checked = local[key] ?? known.has(key);
  }
  noteChosen();
}

function noteChosen() {
  const chosen = cards.filter(isChosen);
  for (const card of cards) card.classList.toggle("chosen", isChosen(card));
  byId("chosen-count").textContent = chosen.length ? `${chosen.length} chosen` : "none chosen";
  byId("show-chosen").hidden = byId("clear-chosen").hidden = chosen.length === 0;
  if (byId("kind").value === "chosen") update();
}

// A closer look

let viewed = null;

function look(card) {
  viewed = card;
  setCurrent(card);
  const small = card.querySelector("img");
  const picture = byId("view-picture");
  const link = card.querySelector("h3 a");
  picture.hidden = !small;
  if (small) picture.src = small.src;
  picture.alt = byId("view-name").textContent = card.querySelector("h3 .name").textContent;
  byId("view-note").textContent = card.querySelector(".error")?.textContent ?? "";
  byId("view-link").hidden = !link;
  if (link) byId("view-link").href = link.href;
  if (small && link) loadOriginal(card, card.dataset.large ?? link.href);
  prefetch(shown[shown.indexOf(card) + 1]);
  byId("view-facts").replaceChildren(...facts(card));
  byId("view-chart").replaceChildren(...chart(card));
  byId("view-choose").checked = isChosen(card);
  byId("view-previous").disabled = shown[0] === card;
  byId("view-next").disabled = shown.at(-1) === card;
  if (!byId("view").open) byId("view").showModal();
}

function loadOriginal(card, address) {
  const original = new Image();
  // Never a small picture blown up without a word.
  byId("view-note").textContent = "Loading the photo; this is the preview.";
  original.onload = () => {
    if (viewed !== card) return;
    byId("view-picture").src = address;
    byId("view-note").textContent = card.querySelector(".error")?.textContent ?? "";
  };
  original.onerror = () => {
    if (viewed !== card) return;
    byId("view-note").textContent =
      "This is the preview: the original is not where it was, or this browser cannot show its format.";
  };
  original.src = address;
}

/** Ask for the photo that is likely next, so that it is there at once. */
function prefetch(card) {
  const link = card?.querySelector("h3 a");
  if (link && card.querySelector("img")) new Image().src = card.dataset.large ?? link.href;
}

function facts(card) {
  const given = [["Path", card.dataset.path], ...JSON.parse(card.dataset.facts)];
  return given.flatMap(([name, value]) => {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, description.textContent] = [name, value];
    return [term, description];
  });
}

function chart(card) {
  const small = card.querySelector(".chart");
  if (!small) return [];
  const [bars, grades, caption] = [
    small.cloneNode(true),
    document.createElement("div"),
    document.createElement("figcaption"),
  ];
  const shares = JSON.parse(card.dataset.shares);
  bars.removeAttribute("aria-hidden");
  bars.setAttribute("role", "img");
  bars.setAttribute("aria-label", shares.map(([grade, share]) => `${grade}: ${share} %`).join(", "));
  grades.className = "grades";
  grades.ariaHidden = "true";
  const labels = shares.map(([grade]) => grade);
  for (const label of labels.length > 12 ? [labels[0], labels.at(-1)] : labels) {
    grades.append(Object.assign(document.createElement("span"), { textContent: label }));
  }
  caption.textContent = "Rating distribution: the share of votes for each grade";
  return [bars, grades, caption];
}

function lookAt(step) {
  const next = shown[shown.indexOf(viewed) + step];
  if (next) look(next);
}

// The list of the chosen

function showChosen() {
  const chosen = shown.filter(isChosen).concat(cards.filter((c) => c.hidden && isChosen(c)));
  const listed = chosen.filter((card) => !("unlistable" in card.dataset));
  const left = chosen.length - listed.length;
  byId("list-text").value = listed.map((card) => card.dataset.path).join("\n");
  byId("list-note").textContent =
    "One path a line, as nima was given them; 'nima score -' reads such a list." +
    (left ? ` ${left} left out: their names have characters that a line of text cannot hold.` : "");
  byId("copied").textContent = "";
  byId("list").showModal();
  byId("list-text").select();
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("list-text").value);
    byId("copied").textContent = "copied";
  } catch {
    byId("list-text").select();
    byId("copied").textContent = "press Ctrl+C to copy";
  }
}

// What the controls and keys do

function onGridKey(event) {
  const card = event.target.closest("#photos > li");
  if (!card || event.target.matches("input")) return;
  const next = moved(card, event.key);
  if (next) {
    event.preventDefault();
    focusCard(next);
  } else if (event.key === "x") {
    choose(card, !isChosen(card));
  }
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (byId("view").open) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) lookAt(step);
    if (event.key === "x") {
      choose(viewed, !isChosen(viewed));
      byId("view-choose").checked = isChosen(viewed);
    }
  } else if (document.querySelector("dialog[open]") || typing) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    byId("find").focus();
    byId("find").select();
  } else if (event.key === "?") {
    byId("keys").showModal();
  } else {
    onGridKey(event);
  }
}

function reset() {
  for (const field of document.querySelectorAll("#controls input")) field.value = "";
  byId("kind").value = "all";
  byId("burst").value = "";
  update();
}

byId("sort").addEventListener("change", (event) => {
  down = SORTS[event.target.value].down;
  update();
});
byId("direction").addEventListener("click", () => {
  down = !down;
  update();
});
byId("controls").addEventListener("input", (event) => {
  if (event.target.id !== "sort") update();
});
byId("find").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.value === "") focusCard(current);
  if (event.key === "Enter") {
    event.preventDefault(); // or the photo that gets the focus would open at once
    focusCard(shown[0]);
  }
});
byId("reset").addEventListener("click", reset);
list.addEventListener("click", (event) => {
  const card = event.target.closest("#photos > li");
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (event.target.closest(".open")) look(card);
  if (plain && event.target.closest("a.name")) {
    event.preventDefault(); // the file itself is a click further, in the dialog
    look(card);
  }
  if (event.target.matches("button.burst")) {
    byId("filters").open = true;
    byId("burst").value = card.dataset.burst;
    update();
  }
});
list.addEventListener("change", (event) => choose(event.target.closest("li"), event.target.checked));
list.addEventListener("focusin", (event) => {
  const card = event.target.closest("#photos > li");
  if (card) setCurrent(card);
});
document.addEventListener("keydown", onKey);
byId("view-previous").addEventListener("click", () => lookAt(-1));
byId("view-next").addEventListener("click", () => lookAt(1));
byId("view-choose").addEventListener("change", (event) => choose(viewed, event.target.checked));
byId("view").addEventListener("close", () => focusCard(viewed));
byId("show-chosen").addEventListener("click", showChosen);
byId("clear-chosen").addEventListener("click", () => {
  const chosen = cards.filter(isChosen);
  for (const card of chosen) card.querySelector(".choose input").checked = false;
  keep(chosen);
  noteChosen();
});
byId("copy").addEventListener("click", copy);
byId("show-keys").addEventListener("click", () => byId("keys").showModal());
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

// What these photos have nothing of needs no controls.
for (const part of document.querySelectorAll(".no-bursts .of-bursts, .no-percentiles .of-percentiles")) {
  if (part.matches("option")) part.remove();
  else part.hidden = true;
}
for (const card of cards) setTabIndex(card, -1);
setCurrent(cards[0] ?? null);
update();
noteChosen();
recall();
// Another window of the same page may choose too.
window.addEventListener("storage", (event) => {
  if (event.key === STORE) recall();
});
// Keys work at once.
if (current && document.activeElement === document.body) opener(current).focus({ preventScroll: true });
