"use strict";
// A closer look: at one photo, and at two side by side.

const SCREEN_SIDES = [640, 960, 1280, 1920, 2560];
const MOST_PICTURES = 8; // decoded ones that wait: about 100 MB
const loaded = new Map(); // by address: pictures, those asked for last at the end

/** The address of a photo as large as a window can show it. */
function screenOf(card, stage) {
  if (!card.dataset.screen) return card.querySelector("h3 a")?.href ?? null;
  const { width, height } = stage.getBoundingClientRect();
  const wanted = Math.max(width, height, 320) * devicePixelRatio;
  return card.dataset.screen + (SCREEN_SIDES.find((side) => side >= wanted) ?? SCREEN_SIDES.at(-1));
}

/** The address of a photo with all its pixels. */
const fullOf = (card) => card.dataset.full ?? card.querySelector("h3 a")?.href ?? null;

/** A picture that is loaded and decoded, or on its way. */
function picture(address) {
  let found = loaded.get(address);
  if (!found) {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    image.src = address;
    found = { image, done: false };
    found.ready = image.decode().then(() => void (found.done = true));
    found.ready.catch(() => loaded.delete(address));
  }
  loaded.delete(address);
  loaded.set(address, found);
  for (const old of loaded.keys()) {
    if (loaded.size <= MOST_PICTURES) break;
    if (!loaded.get(old).image.isConnected) loaded.delete(old);
  }
  return found;
}

/** Ask for photos that are likely next, so that they are there at once. */
function prefetch(wanted, stage) {
  for (const card of wanted) {
    const address = card?.querySelector("img") && screenOf(card, stage);
    if (address) picture(address);
  }
}

/** Show a photo in a window: at once if it is loaded, or else its preview, no larger than it is. */
function paint(stage, card, tell) {
  stage.shows = card;
  const small = card.querySelector(".open img");
  const put = (image) => {
    image.alt = card.querySelector("h3 .name").textContent;
    const old = stage.querySelector("img:not(.full)");
    [image.id, old.id] = [old.id, ""];
    if (image !== old) old.replaceWith(image);
  };
  const preview = Object.assign(new Image(), { className: "preview" });
  if (!small) {
    preview.hidden = true;
    put(preview);
    tell(card.querySelector(".error")?.textContent ?? "");
    return;
  }
  const address = screenOf(card, stage);
  const wanted = address && picture(address);
  const shown = () => {
    // One photo may stand in two windows.
    put(wanted.image.isConnected && !stage.contains(wanted.image) ? wanted.image.cloneNode() : wanted.image);
    tell(card.querySelector(".error")?.textContent ?? "");
  };
  if (wanted?.done) {
    shown();
    return;
  }
  preview.src = small.src;
  put(preview);
  const why = "This is the preview: the original is not where it was, or this browser cannot show its format.";
  tell(wanted ? "Loading the photo; this is the preview." : why);
  wanted?.ready.then(
    () => stage.shows === card && shown(),
    () => stage.shows === card && tell(why),
  );
}

// One photo

const view = byId("view");
const viewStage = view.querySelector(".stage");
const viewZoom = new Zoom([viewStage], (state) => tellZoom(view, state));
let viewed = null;

function tellZoom(dialog, state) {
  const button = dialog.querySelector("[data-do=zoom]");
  button.ariaPressed = String(state === "loading" || state === "zoomed");
  const said = {
    loading: "Loading all pixels …",
    zoomed: "100 %: drag, or use the arrow keys.",
    failed: "All pixels cannot be loaded.",
    whole: "",
  };
  dialog.querySelector(".zoom-note").textContent = said[state];
}

function look(card) {
  viewed = card;
  setCurrent(card);
  if (!view.open) {
    view.dataset.begun = "true";
    view.showModal();
    viewStage.focus();
  }
  const link = card.querySelector("h3 a");
  byId("view-name").textContent = card.querySelector("h3 .name").textContent;
  byId("view-link").hidden = !link;
  if (link) byId("view-link").href = link.href;
  byId("view-decided").replaceChildren(...signs(choiceOf(card)));
  showOnBar(view, choiceOf(card));
  byId("view-facts").replaceChildren(...facts(card));
  byId("view-chart").replaceChildren(...chart(card));
  const place = shown.indexOf(card);
  byId("view-previous").disabled = place <= 0;
  byId("view-next").disabled = place === shown.length - 1;
  paint(viewStage, card, (words) => (byId("view-note").textContent = words));
  if (viewZoom.wanted) zoomInto(viewZoom, [card]);
  prefetch([shown[place + 1], shown[place + 2], shown[place - 1]], viewStage);
}

function zoomInto(zoom, photos) {
  const addresses = photos.map(fullOf);
  if (addresses.every(Boolean) && photos.every((card) => card.querySelector("img"))) zoom.enter(addresses);
  else zoom.leave();
}

function facts(card) {
  const known = card.dataset.facts ? card.dataset.facts.split("\n").map((fact) => fact.split("\t")) : [];
  const given = [["Path", card.dataset.path], ...known];
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
  const shares = card.dataset.shares.split(",").map((share) => share.split(" "));
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

// Two photos: the best so far, and one that challenges it

const compare = byId("compare");
const figures = [...compare.querySelectorAll("figure")];
const stages = figures.map((figure) => figure.querySelector(".stage"));
const compareZoom = new Zoom(stages, (state) => tellZoom(compare, state));
let rivals = [];
let champion = null;
let challenger = null;
let opened = null; // where the comparison began

/** Compare the photos of a burst, or a photo with those that follow it. */
function startComparing(card) {
  const burst = card.dataset.burst;
  const members = cards.filter((other) => other.dataset.burst === burst && !isGone(other));
  rivals = burst ? members.sort((a, b) => a.dataset.place - b.dataset.place) : shown.slice(shown.indexOf(card));
  rivals = rivals.filter((other) => other.querySelector("img"));
  if (rivals.length < 2) {
    byId("said").textContent = "There is no other photo to compare it with.";
    return;
  }
  opened = card;
  champion = rivals[0];
  challenger = rivals.includes(card) && card !== champion ? card : rivals[1];
  compare.dataset.begun = "true";
  compare.showModal();
  showPair();
  figures[1].focus();
}

function showPair() {
  for (const [place, card] of [champion, challenger].entries()) {
    const figure = figures[place];
    paint(stages[place], card, (words) => (byId("compare-note").textContent = words));
    figure.querySelector("b").textContent = card.querySelector("h3 .name").textContent;
    figure.querySelector(".reason").textContent = card.dataset.standing || card.dataset.scored || "";
    figure.querySelector(".decided").replaceChildren(...signs(choiceOf(card)));
    showFaces(figure.querySelector(".faces"), card);
    figure.ariaLabel = `${place ? "Challenger" : "Best so far"}: ${figure.querySelector("b").textContent}`;
  }
  const others = rivals.filter((card) => card !== champion);
  const place = others.indexOf(challenger);
  byId("compare-place").textContent = `challenger ${place + 1} of ${others.length}`;
  byId("compare-previous").disabled = place <= 0;
  byId("compare-next").disabled = place === others.length - 1;
  showOnBar(compare, choiceOf(marked()));
  if (compareZoom.wanted) zoomInto(compareZoom, [champion, challenger]);
  prefetch([others[place + 1], others[place + 2]], stages[1]);
}

const EYES = { open: "eyes open", closed: "eyes closed", unclear: "" };
const faces = new Map(); // by key: what the server says, asked for once

/** The faces of a photo in a row, large enough to see the eyes. */
async function showFaces(strip, card) {
  strip.replaceChildren();
  strip.shows = card;
  if (!SERVER) return;
  const key = keyOf(card);
  if (!faces.has(key)) {
    const asked = fetch(`./faces/${key}`).then((answer) => (answer.ok ? answer.json() : []));
    faces.set(key, asked.catch(() => []));
  }
  const found = await faces.get(key);
  if (strip.shows !== card) return;
  strip.replaceChildren(
    ...found.map(({ eyes, picture: source }) => {
      const [face, image] = [document.createElement("span"), new Image()];
      face.dataset.eyes = eyes;
      image.src = source;
      image.alt = "face";
      face.append(image, EYES[eyes]);
      return face;
    }),
  );
}

/** Which of both decisions are about: the one that had the focus last. */
const marked = () => (compare.dataset.side === "0" ? champion : challenger);

function challenge(step) {
  const others = rivals.filter((card) => card !== champion);
  const next = others[others.indexOf(challenger) + step];
  if (!next) return false;
  challenger = next;
  showPair();
  return true;
}

/** The challenger is the better one: it stays, on the left, and the next one challenges it. */
function crown() {
  const others = rivals.filter((card) => card !== champion);
  const next = others[others.indexOf(challenger) + 1];
  const beaten = champion;
  champion = challenger;
  challenger = next ?? beaten;
  showPair();
  if (!next) byId("compare-note").textContent = "That was the last one.";
}
