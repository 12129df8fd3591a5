"use strict";
// The page shows every photo without this script, best first; here they are sorted, filtered, stacked,
// and decided about.

let shown = cards;
let current = null;
const spread = new Set(); // bursts that are laid open

const number = (card, key) => (card.dataset[key] ? Number(card.dataset[key]) : null);
const isFailed = (card) => card.classList.contains("failed");
const isGone = (card) => card.classList.contains("gone");
const opener = (card) => card.querySelector(".open");
const otherScore = (name) => (card) => JSON.parse(card.dataset.others ?? "{}")[name] ?? null;

// What a sort compares, whether it begins with the largest, and what that is called from the largest
// and from the smallest on. Photos that lack the value stay last.
const BY_SIZE = ["highest first", "lowest first"];
const BY_PLACE = ["from the end", "from the start"];
const SORTS = {
  score: { key: (card) => number(card, "score"), down: true, words: BY_SIZE },
  percentile: { key: (card) => number(card, "percentile"), down: true, words: BY_SIZE },
  spread: { key: (card) => number(card, "spread"), down: true, words: BY_SIZE },
  stars: { key: (card) => choiceOf(card).stars, down: true, words: ["most first", "fewest first"] },
  name: { key: (card) => number(card, "name"), down: false, words: ["Z to A", "A to Z"] },
  burst: { key: (card) => number(card, "burst"), down: false, words: BY_PLACE },
  error: { key: (card) => (isFailed(card) ? 0 : 1), down: false, words: ["errors last", "errors first"] },
  given: { key: (card) => number(card, "given"), down: false, words: BY_PLACE },
};
for (const option of byId("sort").querySelectorAll("[data-model]")) {
  SORTS[option.value] = { key: otherScore(option.dataset.model), down: true, words: BY_SIZE };
}
let down = true;

function compareBy(sort) {
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
  undecided: (card) => !isDecided(card),
  picked: isPicked,
  rejected: isRejected,
  scored: (card) => !isFailed(card),
  failed: isFailed,
  burst: (card) => Boolean(card.dataset.burst),
  best: (card) => !isFailed(card) && (!card.dataset.burst || card.dataset.place === "1"),
};
const FILTERS = ["burst", "score-from", "score-to", "percentile-from", "percentile-to", "stars-from", "reason", "colour"];
// Filters whose outcome a decision changes.
const OF_DECISIONS = () =>
  ["undecided", "picked", "rejected"].includes(byId("kind").value) ||
  byId("stars-from").value !== "" || byId("colour").value !== "" || byId("sort").value === "stars";

function activeFilters() {
  return FILTERS.filter((id) => byId(id).value !== "").length + (byId("kind").value !== "all");
}

function passing() {
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kind = KINDS[byId("kind").value];
  const [burst, reason, colour] = ["burst", "reason", "colour"].map((id) => byId(id).value);
  const stars = Number(byId("stars-from").value);
  return (card) =>
    !isGone(card) &&
    kind(card) &&
    (burst === "" || card.dataset.burst === burst) &&
    (reason === "" || (card.dataset.reason ?? "").includes(reason)) &&
    (colour === "" || choiceOf(card).colour === colour) &&
    (choiceOf(card).stars ?? 0) >= stars &&
    inRange(card, "score") &&
    inRange(card, "percentile") &&
    words.every((word) => card.dataset.path.toLowerCase().includes(word));
}

/** Show what passes the filters, in the chosen order, bursts as stacks or laid open. */
function update() {
  const focused = document.activeElement;
  for (const old of list.querySelectorAll(":scope > .heading")) old.remove();
  const ordered = document.createDocumentFragment();
  const rows = arranged(cards.filter(passing()).sort(compareBy(SORTS[byId("sort").value])));
  shown = [];
  let after = false; // a burst that is laid open has its rows to itself
  for (const { members, open } of rows) {
    if (open) ordered.append(heading(members));
    for (const [place, card] of (open ? members : members.slice(0, 1)).entries()) {
      card.classList.toggle("after-burst", place === 0 && (after || open));
      card.classList.toggle("stacked", !open && members.length > 1);
      showStack(card, open ? 1 : members.length);
      shown.push(card);
      ordered.append(card);
    }
    after = open;
  }
  const visible = new Set(shown);
  for (const card of cards) card.hidden = !visible.has(card);
  list.append(ordered);
  // Moving an element takes the focus from it.
  if (list.contains(focused) && !focused.closest("li")?.hidden) focused.focus();
  if (!visible.has(current)) setCurrent(shown[0] ?? null);
  tellCounts();
}

/** Photos as the page shows them: alone, or with the others of their burst, the best on top. */
function arranged(passed) {
  const mode = byId("stacks").value;
  if (mode === "apart") return passed.map((card) => ({ members: [card], open: false }));
  const bursts = Map.groupBy(passed, (card) => card.dataset.burst ?? card);
  return [...bursts.values()].map((members) => ({
    members: members.length > 1 ? members.sort((a, b) => a.dataset.place - b.dataset.place) : members,
    open: members.length > 1 && (mode === "spread" || spread.has(members[0].dataset.burst)),
  }));
}

function heading(members) {
  const [row, words, fold] = ["li", "h3", "button"].map((tag) => document.createElement(tag));
  row.className = "heading";
  const [best] = members;
  const sure = best.dataset.close === "true" ? "too close to call with the next" : "the best";
  const name = best.querySelector(".name").textContent;
  words.textContent = `Burst ${best.dataset.burst}: ${members.length} photos; ${name} is ${sure}`;
  Object.assign(fold, { type: "button", textContent: "Stack again" });
  fold.hidden = byId("stacks").value === "spread";
  fold.addEventListener("click", () => toggleStack(best));
  const side = Object.assign(document.createElement("button"), { type: "button", textContent: "Side by side" });
  side.addEventListener("click", () => startComparing(members[1]));
  row.append(words, side, fold);
  return row;
}

function showStack(card, count) {
  const stack = card.querySelector(".stack");
  if (!stack) return;
  stack.hidden = count < 2;
  stack.textContent = `${count} photos`;
  stack.ariaLabel = `Lay open the ${count} photos of burst ${card.dataset.burst}`;
}

/** Lay a burst open, or stack it again. */
function toggleStack(card) {
  const burst = card?.dataset.burst;
  if (!burst || byId("stacks").value !== "stacked") return;
  if (!spread.delete(burst)) spread.add(burst);
  update();
  focusCard(shown.includes(card) ? card : shown.find((other) => other.dataset.burst === burst));
}

function tellCounts() {
  const here = cards.filter((card) => !isGone(card));
  byId("count").textContent = `${shown.length} of ${here.length} photos shown`;
  byId("nothing").hidden = shown.length > 0;
  byId("active").textContent = activeFilters() ? ` (${activeFilters()} in use)` : "";
  byId("direction").textContent = SORTS[byId("sort").value].words[down ? 0 : 1];
  const kind = byId("kind").value;
  for (const button of document.querySelectorAll("[data-kind]")) {
    const count = here.filter(KINDS[button.dataset.kind]).length;
    button.textContent = `${count} ${button.dataset.kind}`;
    button.ariaPressed = String(button.dataset.kind === kind);
  }
  byId("clear-chosen").hidden = !here.some(isDecided);
}

function setTabIndex(card, value) {
  for (const stop of card.querySelectorAll("a, button, input")) stop.tabIndex = value;
}

/** The one photo that the Tab key stops at; arrows move on from it, and decisions are about it. */
function setCurrent(card) {
  if (current && current !== card) setTabIndex(current, -1);
  current = card;
  if (current) setTabIndex(current, 0);
  showOnBar(byId("decide"), current ? choiceOf(current) : NOTHING);
  for (const button of byId("decide").querySelectorAll("[data-decide]")) button.disabled = !current;
  byId("decide-about").textContent = current ? current.querySelector(".name").textContent : "";
}

function focusCard(card) {
  if (!card) return;
  setCurrent(card);
  opener(card).focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function columns() {
  return getComputedStyle(list).gridTemplateColumns.split(" ").length;
}

/** The card above or below: in the next row, the one whose middle is nearest. */
function beyond(card, step) {
  const middle = (other) => other.offsetLeft + other.offsetWidth / 2;
  let best = null;
  for (let place = shown.indexOf(card) + step; shown[place]; place += step) {
    const other = shown[place];
    if (Math.abs(other.offsetTop - card.offsetTop) < 20) continue;
    if (best && Math.abs(other.offsetTop - best.offsetTop) >= 20) break;
    const away = (one) => Math.abs(middle(one) - middle(card));
    if (!best || away(other) < away(best)) best = other;
  }
  return best;
}

function moved(card, key) {
  const place = shown.indexOf(card);
  const found = {
    ArrowLeft: () => shown[place - 1],
    ArrowRight: () => shown[place + 1],
    ArrowUp: () => beyond(card, -1),
    ArrowDown: () => beyond(card, 1),
    Home: () => shown[0],
    End: () => shown.at(-1),
  }[key];
  return found ? (found() ?? card) : null;
}

// Decisions

const advances = () => byId("advance").checked;

/** Do what a key or a button of the bar says to the photo in sight; then go on, if so wished. */
function decideAbout(card, what) {
  if (!card) return;
  const place = shown.indexOf(card);
  const next = shown[place + 1] ?? null;
  const after = changed(choiceOf(card), what);
  const inGrid = !document.querySelector("dialog[open]");
  decide([[card, after]]);
  byId("said").textContent = `${card.querySelector(".name").textContent}: ${spoken(after)}`;
  if (compare.open) {
    if (!advances() || card !== challenger || !challenge(1)) showPair();
  } else if (view.open) {
    if (advances() && next && shown.includes(next)) look(next);
    else look(shown.includes(card) ? card : (next ?? card));
  } else if (inGrid) {
    const here = shown.includes(card);
    focusCard((advances() || !here) && shown.includes(next) ? next : here ? card : shown[Math.max(0, place - 1)]);
  }
}

function undoLast() {
  const card = undo();
  byId("said").textContent = card ? `Taken back: ${card.querySelector(".name").textContent}` : "Nothing to take back";
  if (!card) return;
  if (compare.open) {
    if (rivals.includes(card) && card !== champion) challenger = card;
    showPair();
  } else if (view.open) look(card);
  else if (!document.querySelector("dialog[open]") && shown.includes(card)) focusCard(card);
}

/** Show what has been decided about some photos. */
function showDecisions(about) {
  for (const card of about) showOn(card);
  if (OF_DECISIONS()) update();
  else tellCounts();
  if (current) showOnBar(byId("decide"), choiceOf(current));
}

// Ways out of the page

const WHICH = {
  picked: isPicked,
  rejected: isRejected,
  "not-rejected": (card) => !isRejected(card) && !isFailed(card),
  shown: (card) => shown.includes(card),
  decided: isDecided,
};

/** The photos that the dialog is about: those in sight first, in their order. */
function exported() {
  const wanted = WHICH[byId("which").value];
  return [...shown, ...cards.filter((card) => !shown.includes(card))].filter((c) => !isGone(c) && wanted(c));
}

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function listed() {
  const photos = exported();
  const lines = photos.filter((card) => !("unlistable" in card.dataset));
  const left = photos.length - lines.length;
  const table = byId("as").value === "table";
  const row = (card) => {
    const { stars, flag, colour } = choiceOf(card);
    return [quoted(card.dataset.path), stars ?? "", flag ?? "", colour ?? ""].join(",");
  };
  const text = lines.map((card) => (table ? row(card) : card.dataset.path));
  byId("list-text").value = (table ? ["path,stars,flag,colour", ...text] : text).join("\n");
  byId("list-note").textContent =
    `${lines.length} photos. ` +
    (table ? "A table, as spreadsheets read it." : "One path a line; 'nima score -' reads such a list.") +
    (left ? ` ${left} left out: their names have characters that a line of text cannot hold.` : "");
  byId("copied").textContent = "";
}

function showList() {
  listed();
  byId("write").hidden = !SERVER;
  forgetPlan();
  if (SERVER) showUndo();
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

let order = null; // what is planned, with the digest of what was shown

async function ask(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  return said;
}

function forgetPlan() {
  order = null;
  byId("plan-words").textContent = "";
  byId("plan-lines").textContent = "";
  byId("do-write").hidden = true;
  for (const part of document.querySelectorAll("#write button, #write select, #write input")) {
    part.disabled = !server.writes;
  }
  byId("no-writes").hidden = server.writes;
}

/** Show what writing would do. */
async function plan(what) {
  const wanted = byId("which").value;
  const to = wanted === "picked" || wanted === "rejected" ? wanted : "shown";
  order = { what };
  if (what === "sidecars") {
    order.program = byId("program").value || null;
    order.overwrite = byId("overwrite").checked;
  } else {
    order.photos = exported().map(keyOf);
    order.to = to;
  }
  await toldOf(async () => {
    const planned = await ask("./plan", order);
    order.digest = planned.digest;
    byId("do-write").hidden = planned.changes === 0;
    byId("do-write").textContent = { sidecars: "Write these", copy: "Copy these", move: "Move these" }[what];
    return ["This would be done, nothing is written yet: ", planned];
  });
  if (!byId("do-write").hidden) byId("do-write").focus();
}

async function write() {
  const wanted = order;
  byId("do-write").hidden = true;
  await toldOf(async () => ["Done: ", await ask("./write", wanted)]);
  await recall();
  showUndo();
}

async function undoWrite(log) {
  await toldOf(async () => ["Undone: ", await ask("./undo", { log })]);
  for (const card of cards) card.classList.remove("gone");
  await recall();
  update();
  showUndo();
}

async function toldOf(doing) {
  byId("plan-words").textContent = "…";
  byId("plan-lines").textContent = "";
  try {
    const [words, said] = await doing();
    byId("plan-words").textContent = words + (said.summary.join(", ") || "nothing to do") + ".";
    const more = said.more ? [`and ${said.more} more`] : [];
    byId("plan-lines").textContent = [...said.notes, ...said.lines, ...more].join("\n");
  } catch (error) {
    byId("plan-words").textContent = `${error.message}`;
    byId("do-write").hidden = true;
  }
}

function showUndo() {
  byId("undo-logs").replaceChildren(
    ...server.undo.map(({ log, words }) => {
      const [item, button] = ["li", "button"].map((tag) => document.createElement(tag));
      Object.assign(button, { type: "button", textContent: `Undo ${words}` });
      button.addEventListener("click", () => undoWrite(log));
      item.append(button);
      return item;
    }),
  );
  byId("undo-title").hidden = server.undo.length === 0;
}

// What the controls and keys do

const GRID_KEYS = {
  s: () => toggleStack(current),
  c: () => current && startComparing(current),
};

function onKey(event) {
  if (event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  const dialog = [byId("keys"), byId("list"), compare, view].find((one) => one.open);
  if (event.ctrlKey) {
    if (key === "z" && !typing && (!dialog || dialog === view || dialog === compare)) {
      event.preventDefault();
      undoLast();
    }
    return;
  }
  if (typing || (dialog && dialog !== view && dialog !== compare)) return;
  if (key === "Escape") {
    if (!dialog) return;
    event.preventDefault();
    end(dialog);
  } else if (key === "?") {
    byId("keys").showModal();
  } else if (key in DECISION_KEYS) {
    event.preventDefault();
    decideAbout(compare.open ? marked() : view.open ? viewed : current, DECISION_KEYS[key]);
  } else if (key === "u") {
    undoLast();
  } else if (dialog === view) {
    onViewKey(event, key);
  } else if (dialog === compare) {
    onCompareKey(event, key);
  } else if (key === "/") {
    event.preventDefault();
    byId("find").focus();
    byId("find").select();
  } else if (GRID_KEYS[key]) {
    GRID_KEYS[key]();
  } else {
    const card = event.target.closest("#photos > li:not(.heading)");
    const next = card && !event.target.matches("input") ? moved(card, event.key) : null;
    if (!next) return;
    event.preventDefault();
    focusCard(next);
  }
}

// What follows a dialog is done at once where the page closes it: the event of closing comes later, when
// a key may have been pressed already that is meant for the photo with the focus.
const AFTER = new Map([
  [view, afterView],
  [compare, afterCompare],
]);

function end(dialog) {
  dialog.close();
  AFTER.get(dialog)?.();
}

function afterView() {
  if (!view.dataset.begun) return;
  delete view.dataset.begun;
  viewZoom.leave();
  focusCard(shown.includes(viewed) ? viewed : shown[0]);
}

function afterCompare() {
  if (!compare.dataset.begun) return;
  delete compare.dataset.begun;
  compareZoom.leave();
  delete compare.dataset.side;
  if (view.open) look(shown.includes(challenger) ? challenger : viewed);
  else focusCard([challenger, champion, opened].find((card) => shown.includes(card)));
}

const onButton = (event) => event.target.matches("button, a, input, summary");

function onViewKey(event, key) {
  if (viewZoom.on && viewZoom.moveByKey(event.key)) event.preventDefault();
  else if (key === "ArrowLeft" || key === "PageUp") lookAt(-1);
  else if (key === "ArrowRight" || key === "PageDown" || (key === " " && !onButton(event))) lookAt(1);
  else if (key === "z") toggleZoom(viewZoom, [viewed]);
  else if (key === "c") startComparing(viewed);
  else return;
  event.preventDefault();
}

function onCompareKey(event, key) {
  if (compareZoom.on && compareZoom.moveByKey(event.key)) event.preventDefault();
  else if (key === "ArrowLeft" || key === "PageUp") challenge(-1);
  else if (key === "ArrowRight" || key === "PageDown" || (key === " " && !onButton(event))) challenge(1);
  else if (key === "Enter" && !onButton(event)) crown();
  else if (key === "z") toggleZoom(compareZoom, [champion, challenger]);
  else return;
  event.preventDefault();
}

function toggleZoom(zoom, photos) {
  if (zoom.wanted) zoom.leave();
  else zoomInto(zoom, photos);
}

function reset() {
  for (const field of document.querySelectorAll("#controls input[type=number], #find")) field.value = "";
  for (const id of ["burst", "reason", "colour", "stars-from"]) byId(id).value = "";
  byId("kind").value = "all";
  update();
}

const DO = {
  zoom: (dialog) =>
    dialog === view ? toggleZoom(viewZoom, [viewed]) : toggleZoom(compareZoom, [champion, challenger]),
  compare: () => startComparing(view.open ? viewed : current),
  undo: undoLast,
};

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
for (const button of document.querySelectorAll("[data-kind]")) {
  button.addEventListener("click", () => {
    const kind = byId("kind");
    kind.value = kind.value === button.dataset.kind ? "all" : button.dataset.kind;
    update();
  });
}
list.addEventListener("click", (event) => {
  const card = event.target.closest("#photos > li:not(.heading)");
  if (!card) return;
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (event.target.closest(".open")) look(card);
  if (event.target.closest(".stack")) toggleStack(card);
  if (plain && event.target.closest("a.name")) {
    event.preventDefault(); // the file itself is a click further, in the dialog
    look(card);
  }
  if (event.target.matches("button.burst")) {
    byId("filters").open = true;
    byId("burst").value = card.dataset.burst;
    spread.add(card.dataset.burst);
    update();
  }
});
list.addEventListener("change", (event) => {
  const card = event.target.closest("li");
  decide([[card, { ...choiceOf(card), flag: event.target.checked ? "pick" : null }]]);
});
list.addEventListener("focusin", (event) => {
  const card = event.target.closest("#photos > li:not(.heading)");
  if (card) setCurrent(card);
});
document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-decide], [data-do]");
  if (!button) return;
  const dialog = button.closest("dialog");
  if (button.dataset.do) DO[button.dataset.do](dialog);
  else decideAbout(dialog === compare ? marked() : dialog === view ? viewed : current, button.dataset.decide);
});
byId("view-previous").addEventListener("click", () => lookAt(-1));
byId("view-next").addEventListener("click", () => lookAt(1));
byId("compare-previous").addEventListener("click", () => challenge(-1));
byId("compare-next").addEventListener("click", () => challenge(1));
byId("crown").addEventListener("click", crown);
for (const [place, figure] of figures.entries()) {
  figure.addEventListener("focusin", () => {
    compare.dataset.side = String(place);
    showOnBar(compare, choiceOf(marked()));
  });
}
for (const [dialog, after] of AFTER) dialog.addEventListener("close", after);
byId("show-chosen").addEventListener("click", showList);
byId("which").addEventListener("change", () => {
  listed();
  forgetPlan();
});
byId("as").addEventListener("change", listed);
for (const id of ["program", "overwrite"]) byId(id).addEventListener("change", forgetPlan);
for (const button of document.querySelectorAll("[data-plan]")) {
  button.addEventListener("click", () => plan(button.dataset.plan));
}
byId("do-write").addEventListener("click", write);
byId("clear-chosen").addEventListener("click", () =>
  decide(cards.filter(isDecided).map((card) => [card, NOTHING])),
);
byId("copy").addEventListener("click", copy);
for (const button of document.querySelectorAll(".show-keys")) {
  button.addEventListener("click", () => byId("keys").showModal());
}
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => end(button.closest("dialog")));
}
const ADVANCE = "nima-advance";
byId("advance").checked = stored(ADVANCE, true);
byId("advance").addEventListener("change", () => store(ADVANCE, advances()));

// What these photos have nothing of needs no controls.
for (const part of document.querySelectorAll(".no-bursts .of-bursts, .no-percentiles .of-percentiles")) {
  if (part.matches("option")) part.remove();
  else part.hidden = true;
}
for (const card of cards) setTabIndex(card, -1);
setCurrent(cards[0] ?? null);
update();
recall();
// Another window of the same page may decide too; and a page that comes back was not told meanwhile.
addEventListener("storage", (event) => {
  if (event.key === STORE) recall();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) recall();
});
// Keys work at once.
if (current && document.activeElement === document.body) opener(current).focus({ preventScroll: true });
