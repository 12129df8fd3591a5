"use strict";
// What a person decides about each photo: stars, picked or rejected, a colour. It outlives the page: in
// this browser, and at the server that shows the page, if one does. What the server has not confirmed
// yet is kept here first, so that no decision is lost by leaving.

const byId = (id) => document.getElementById(id);
const list = byId("photos");
const cards = [...list.children];

const NOTHING = { stars: null, flag: null, colour: null };
const COLOURS = ["red", "yellow", "green", "blue", "purple"];
const MOST_UNDONE = 500;

const SERVER = document.body.dataset.choices;
const STORE = `nima-choices:${location.pathname}:${document.title}`;
const UNDO = `nima-undo:${location.pathname}:${document.title}`;
const chosen = new Map(); // by key: what is shown; photos without a decision are not in it
const touched = new Set(); // keys decided about while the server is asked what was decided before
let atServer = Boolean(SERVER); // not if the folder cannot be written
let local = {}; // by key: all decisions; of a server, those that it has not confirmed
let undone = []; // what to go back to, the latest last: lists of [key, before]
let sending = false;
let server = { writes: false, undo: [] }; // what it says of itself

const keys = new Map(
  cards.map((card) => {
    const link = SERVER ? card.querySelector("h3 a") : null;
    return [card, link ? link.getAttribute("href").split("/").pop() : card.dataset.path];
  }),
);
const keyOf = (card) => keys.get(card);
const cardOf = new Map(cards.map((card) => [keyOf(card), card]));
const choiceOf = (card) => chosen.get(keyOf(card)) ?? NOTHING;
const isPicked = (card) => choiceOf(card).flag === "pick";
const isRejected = (card) => choiceOf(card).flag === "reject";
const isDecided = (card) => !isNothing(choiceOf(card));
const isNothing = (choice) => choice.stars === null && choice.flag === null && choice.colour === null;

function stored(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Earlier versions kept true for a chosen photo, and false for one that was no longer. */
function readLocal() {
  const found = stored(STORE, {});
  for (const [key, value] of Object.entries(found)) {
    if (typeof value === "boolean") found[key] = { ...NOTHING, flag: value ? "pick" : null };
  }
  return found;
}

/** Decide about photos; `changes` is a list of a card and what becomes of it. One undo takes all back. */
function decide(changes) {
  const real = changes.filter(([card, choice]) => JSON.stringify(choiceOf(card)) !== JSON.stringify(choice));
  if (!real.length) return;
  undone = stored(UNDO, []);
  undone.push(real.map(([card]) => [keyOf(card), choiceOf(card)]));
  undone = undone.slice(-MOST_UNDONE);
  store(UNDO, undone);
  apply(real);
}

/** Take back the last decision; gives the card that it was about, or null. */
function undo() {
  undone = stored(UNDO, []);
  const last = undone.pop();
  if (!last) return null;
  store(UNDO, undone);
  const changes = last.map(([key, before]) => [cardOf.get(key), before]).filter(([card]) => card);
  apply(changes);
  return changes[0]?.[0] ?? null;
}

function apply(changes) {
  for (const [card, choice] of changes) {
    touched.add(keyOf(card));
    note(keyOf(card), choice);
  }
  keep(changes.map(([card]) => card));
  showDecisions(changes.map(([card]) => card));
}

function note(key, choice) {
  if (isNothing(choice)) chosen.delete(key);
  else chosen.set(key, choice);
}

function keep(changed) {
  if (!atServer) local = readLocal(); // another window may have decided too
  for (const card of changed) {
    if (isDecided(card) || atServer) local[keyOf(card)] = choiceOf(card);
    else delete local[keyOf(card)];
  }
  const written = store(STORE, local);
  if (atServer) send();
  else if (!written) byId("kept").textContent = "not kept: this browser stores nothing";
}

/** Tell the server, one decision after the other; what fails is tried again. */
async function send() {
  if (sending) return;
  sending = true;
  for (let [key] = Object.keys(local); key; [key] = Object.keys(local)) {
    const choice = local[key];
    try {
      const answer = await fetch(`${SERVER}/${key}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(choice),
        keepalive: true,
      });
      // A photo that the server no longer knows has no choice to keep.
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
    } catch {
      byId("kept").textContent = "not yet at the server, which does not answer; kept in this browser";
      setTimeout(send, 2000);
      break;
    }
    if (local[key] === choice) delete local[key];
    store(STORE, local);
    byId("kept").textContent = "";
  }
  sending = false;
}

/** Show what was decided before, here or at the server; what was decided meanwhile stands. */
async function recall() {
  touched.clear();
  const waiting = readLocal();
  for (const key of Object.keys(waiting)) local[key] ??= waiting[key];
  let known = {};
  if (SERVER) {
    try {
      server = await (await fetch(SERVER)).json();
      known = server.choices;
      atServer = server.kept;
      if (!atServer) byId("kept").textContent = "kept in this browser: the folder cannot be written";
    } catch {
      byId("kept").textContent = "the server does not say what was decided before";
      known = Object.fromEntries(chosen);
    }
    for (const key of server.gone ?? []) cardOf.get(key)?.classList.add("gone");
    if (atServer) send();
  } else {
    local = waiting;
  }
  const news = [];
  for (const [key, card] of cardOf) {
    if (touched.has(key)) continue;
    const before = choiceOf(card);
    note(key, local[key] ?? known[key] ?? NOTHING);
    if (JSON.stringify(before) !== JSON.stringify(choiceOf(card))) news.push(card);
  }
  showDecisions(news);
  if (server.gone?.length) update();
}

// How decisions are shown

const STAR = "★";

/** A decision in signs and words. */
function signs({ stars, flag, colour }) {
  const made = [];
  const add = (kind, text, label) => {
    const span = Object.assign(document.createElement("span"), { className: kind, textContent: text });
    if (label) {
      span.role = "img";
      span.ariaLabel = label;
    }
    made.push(span);
    return span;
  };
  if (flag === "reject") add("reject", "✕ rejected");
  if (flag === "pick") add("pick", "⚑ picked");
  if (stars) add("stars", STAR.repeat(stars), stars === 1 ? "1 star" : `${stars} stars`);
  if (colour) {
    const span = add("colour", ` ${colour}`);
    span.prepend(Object.assign(document.createElement("span"), { className: `dot ${colour}` }));
  }
  return made;
}

/** The same in one line, for those who listen. */
function spoken(choice) {
  const said = [choice.flag === "pick" && "picked", choice.flag === "reject" && "rejected"];
  said.push(choice.stars && (choice.stars === 1 ? "1 star" : `${choice.stars} stars`), choice.colour);
  return said.filter(Boolean).join(", ") || "undecided";
}

function showOn(card) {
  const choice = choiceOf(card);
  card.classList.toggle("picked", choice.flag === "pick");
  card.classList.toggle("rejected", choice.flag === "reject");
  card.querySelector(".choose input").checked = choice.flag === "pick";
  card.querySelector(".decided").replaceChildren(...signs(choice));
}

/** What a press on the bar of decisions, or its key, makes of a choice. */
function changed(choice, what) {
  const [kind, value] = what.split("-");
  if (kind === "stars") {
    const stars = Number(value) || null;
    return { ...choice, stars: choice.stars === stars ? null : stars };
  }
  const [field, wanted] = kind === "colour" ? ["colour", value] : ["flag", kind];
  return { ...choice, [field]: choice[field] === wanted ? null : wanted };
}

/** Show a choice on a bar of decisions. */
function showOnBar(bar, choice) {
  for (const button of bar.querySelectorAll("[data-decide]")) {
    const [kind, value] = button.dataset.decide.split("-");
    const pressed = { stars: choice.stars === Number(value), colour: choice.colour === value };
    button.ariaPressed = String(pressed[kind] ?? choice.flag === kind);
    if (kind === "stars") button.classList.toggle("on", (choice.stars ?? 0) >= Number(value));
  }
}

const DECISION_KEYS = { x: "reject", p: "pick", 0: "stars-0", 6: "colour-red", 7: "colour-yellow",
  8: "colour-green", 9: "colour-blue" };
for (const stars of [1, 2, 3, 4, 5]) DECISION_KEYS[stars] = `stars-${stars}`;
