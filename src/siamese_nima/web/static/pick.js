"use strict";
// Shows one pair after another. The server chooses them and keeps every answer; this page shows the
// next pair, which is loaded and decoded by then, without waiting for it.

const byId = (id) => document.getElementById(id);
const SIDES = ["left", "right"];
const PICTURE_SIDES = [640, 960, 1280, 1920, 2560];
const FULL_SIDE = 8192; // pixel for pixel; larger photos are shown at this size
// Nobody presses twice in less: a key that bounces must not answer the next pair.
const SHORTEST_MS = 150;

let state = null;
let pair = null;
let shownAt = 0;
let pressedAt = 0;
let looked = true; // whether the page was in view since the pair is shown
let busy = false;
const waiting = []; // keys and clicks that came before they could be taken, in order
let endless = false;
const pictures = new Map(); // by number of the pair
const zoomed = new Zoom(SIDES.map(byId), tellZoom);

/** The size to ask for: what a photo can fill of this screen. */
function pictureSide() {
  const stage = byId("left").getBoundingClientRect();
  const wanted = Math.max(stage.width, stage.height, 320) * devicePixelRatio;
  return PICTURE_SIDES.find((side) => side >= wanted) ?? PICTURE_SIDES.at(-1);
}

/** Load and decode both photos of a pair, below the one that is shown. */
function prepare(wanted) {
  if (pictures.has(wanted.number)) return pictures.get(wanted.number);
  const side = pictureSide();
  const images = SIDES.map((where) => {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    image.src = `photos/${wanted[where].id}/${side}`;
    byId(where).append(image);
    return image;
  });
  const entry = { images, ready: Promise.all(images.map((image) => image.decode())) };
  entry.ready.catch(() => {}); // told when it is this pair's turn
  pictures.set(wanted.number, entry);
  return entry;
}

function forgetPictures(kept) {
  for (const [number, { images }] of pictures) {
    if (kept.has(number)) continue;
    for (const image of images) image.remove();
    pictures.delete(number);
  }
}

/** Show a pair as soon as both its photos can be painted. */
async function show(next) {
  pair = next;
  zoomed.leave();
  byId("pair").hidden = false;
  byId("end").hidden = true;
  const { images, ready } = prepare(next);
  byId("pair").ariaBusy = "true";
  try {
    await ready;
  } catch {
    pictures.delete(next.number);
    for (const image of images) image.remove();
    if (pair === next) await replace(next);
    return;
  }
  if (pair !== next) return;
  for (const image of document.querySelectorAll(".photo img.shown")) image.classList.remove("shown");
  for (const [place, where] of SIDES.entries()) {
    images[place].classList.add("shown");
    byId(where).ariaLabel = `Better: ${next[where].name}`;
    byId(`${where}-name`).textContent = byId(`${where}-name`).title = next[where].name;
  }
  byId("pair").ariaBusy = "false";
  shownAt = performance.now();
  looked = document.visibilityState === "visible";
  takeWaiting();
}

/** A pair whose photos do not load: the server drops what it cannot read, and names another one. */
async function replace(failed) {
  while (busy) await new Promise((resume) => setTimeout(resume, 50));
  if (pair !== failed) return;
  try {
    const answered = await ask("state");
    if (answered.queue[0]?.number === failed.number) throw new Refused("A photo does not load");
    accept(answered);
  } catch (error) {
    tell(error);
  }
}

/** Take over what the server says, and load what comes next. */
function accept(answered) {
  state = answered;
  byId("problem").hidden = true;
  byId("progress").max = Math.max(state.goal, state.answers, 1);
  byId("progress").value = state.answers;
  byId("progress-words").textContent = state.progress;
  byId("foreseen").textContent = state.foreseen;
  byId("undo").disabled = !state.can_undo;
  showUnreadable();
  forgetPictures(new Set(state.queue.map((known) => known.number)));
  const done = state.queue.length === 0 || (state.answers >= state.goal && !endless);
  byId("flag").disabled = byId("zoom").disabled = done;
  if (done) {
    end();
  } else {
    if (pair?.number !== state.queue[0].number || byId("pair").hidden) show(state.queue[0]);
    // What comes later must not compete with what is being painted now.
    requestAnimationFrame(() => setTimeout(() => state.queue.forEach(prepare)));
  }
}

function end() {
  pair = null;
  zoomed.leave();
  const nothingLeft = state.queue.length === 0;
  byId("end-title").textContent = nothingLeft ? "Every pair was asked" : "That is all that was asked for";
  byId("summary").replaceChildren(
    ...state.summary.map((line) => Object.assign(document.createElement("li"), { textContent: line })),
  );
  byId("go-on").hidden = nothingLeft;
  byId("pair").hidden = true;
  byId("end").hidden = false;
  byId("end").focus();
}

function showUnreadable() {
  const list = byId("unreadable");
  const count = state.unreadable_count;
  const more = count - state.unreadable.length;
  list.hidden = count === 0;
  list.querySelector("summary").textContent =
    count === 1 ? "1 photo cannot be read" : `${count} photos cannot be read`;
  list.querySelector("ul").replaceChildren(
    ...state.unreadable.map(({ name, reason }) =>
      Object.assign(document.createElement("li"), {
        textContent: reason.includes(name) ? reason : `${name}: ${reason}`,
      }),
    ),
    ...(more ? [Object.assign(document.createElement("li"), { textContent: `and ${more} more` })] : []),
  );
}

class Refused extends Error {}

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options ?? {});
  const answer = await response.json();
  if (!response.ok) throw new Refused(String(answer.detail));
  return answer;
}

/** One exchange with the server at a time; what goes wrong is told, and the server's state shown. */
async function exchange(path, body, said) {
  if (busy) return;
  busy = true;
  try {
    accept(await ask(path, body));
    byId("status").textContent = said;
  } catch (error) {
    tell(error);
  } finally {
    busy = false;
  }
  takeWaiting();
}

/** Do the oldest press that had to wait, once the server is done and the pair stands. */
function takeWaiting() {
  if (waiting.length && ready()) waiting.shift()();
}

const ready = () => !busy && (!pair || byId("pair").ariaBusy !== "true");

/** Do it now, or when the server has answered and the pair is on the screen. */
function whenReady(action) {
  if (ready() && !waiting.length) action();
  else waiting.push(action);
}

function tell(error) {
  byId("problem-words").textContent =
    error instanceof Refused
      ? `${error.message}. `
      : "nima pick does not answer; is it still running? All earlier answers are kept. ";
  byId("problem").hidden = false;
  pair = null; // what is on the screen may not be what the server waits for
  waiting.length = 0;
}

const reload = () => exchange("state", null, "");

const SAID = { left: "left is better", right: "right is better", tie: "too close", flag: "set aside" };

function answer(choice) {
  const now = performance.now();
  if (now - pressedAt < SHORTEST_MS) return;
  pressedAt = now;
  whenReady(() => give(choice));
}

function give(choice) {
  if (!pair) return;
  const milliseconds = performance.now() - shownAt;
  const seconds = looked ? Math.round(milliseconds) / 1000 : null;
  const { number } = pair;
  const next = state.queue[1];
  exchange("answers", { number, choice, seconds }, `Kept: ${SAID[choice]}.`);
  const last = choice !== "flag" && state.answers + 1 >= state.goal && !endless;
  if (next && !last) show(next);
}

function undo() {
  whenReady(() => {
    if (state?.can_undo) exchange("undo", {}, "Taken back.");
    else takeWaiting();
  });
}

function zoom() {
  if (byId("pair").ariaBusy === "true" || !pair) return;
  if (zoomed.wanted) zoomed.leave();
  else zoomed.enter(SIDES.map((where) => `photos/${pair[where].id}/${FULL_SIDE}`));
}

function tellZoom(state) {
  byId("zoom").ariaPressed = String(state === "loading" || state === "zoomed");
  byId("zoom").ariaBusy = String(state === "loading");
  byId("zoom-keys").hidden = state !== "zoomed";
  byId("zoom-failed").hidden = state !== "failed";
}

const KEYS = {
  ArrowLeft: () => answer("left"),
  ArrowUp: () => answer("left"),
  ArrowRight: () => answer("right"),
  ArrowDown: () => answer("right"),
  " ": () => answer("tie"),
  x: () => answer("flag"),
  u: undo,
  z: zoom,
  "?": () => byId("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  // On a button, a key does what it does everywhere.
  if (event.key === " " && event.target.matches("button, summary")) return;
  if (zoomed.on && (event.key === "Escape" || zoomed.moveByKey(event.key))) {
    event.preventDefault();
    if (event.key === "Escape") zoomed.leave();
    return;
  }
  const does = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does) return;
  event.preventDefault();
  if (!event.repeat) does();
});

for (const button of document.querySelectorAll("[data-choice], .photo")) {
  button.addEventListener("click", (event) => {
    // After a click with the mouse, Space is to mean 'too close' and not the same button again.
    if (event.detail > 0) byId("pair").focus();
    answer(button.dataset.choice ?? button.id);
  });
}
byId("undo").addEventListener("click", (event) => {
  if (event.detail > 0) byId("pair").focus();
  undo();
});
byId("zoom").addEventListener("click", (event) => {
  if (event.detail > 0) byId("pair").focus();
  zoom();
});
byId("again").addEventListener("click", reload);
byId("go-on").addEventListener("click", () => {
  endless = true;
  accept(state);
  byId("pair").focus();
});
byId("show-keys").addEventListener("click", () => byId("keys").showModal());
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
document.addEventListener("visibilitychange", () => {
  looked = false;
});

reload().then(() => byId("pair").focus());
