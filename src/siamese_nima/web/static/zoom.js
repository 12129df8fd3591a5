// Both photos of the pair pixel for pixel, moved together: the same part of each is seen.

const FULL_SIDE = 8192; // larger photos are shown at this size
const CLICK_PX = 6; // a finger that moves less than this has tapped
const KEY_STEP = 0.15; // of the window, for one press of an arrow key
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const byId = (id) => document.getElementById(id);
const STAGES = ["left", "right"].map(byId);

let photos = null; // while zoomed, or while what is to be seen is loaded
let ready = false;
let seen = [0.5, 0.5]; // the part of the photos in the window: 0 is the left or upper end, 1 the other
let drag = null;

/** Whether the pair is seen pixel for pixel. */
export const isZoomed = () => ready;

/** Zoom into a pair, or back out. */
export function toggleZoom(pair) {
  if (photos) leaveZoom();
  else if (pair) enter(pair);
}

/** Show whole photos. */
export function leaveZoom() {
  for (const photo of photos ?? []) photo.remove();
  photos = drag = null;
  ready = false;
  tell();
}

async function enter(pair) {
  const loading = STAGES.map((stage) => {
    const photo = new Image();
    photo.alt = "";
    photo.draggable = false;
    photo.className = "full";
    photo.src = `photos/${pair[stage.id].id}/${FULL_SIDE}`;
    return photo;
  });
  photos = loading;
  tell();
  try {
    await Promise.all(loading.map((photo) => photo.decode()));
  } catch {
    if (photos !== loading) return;
    leaveZoom();
    byId("zoom-failed").hidden = false;
    return;
  }
  if (photos !== loading) return;
  for (const [place, stage] of STAGES.entries()) stage.append(photos[place]);
  seen = [0.5, 0.5];
  ready = true;
  tell();
  arrange();
}

function tell() {
  byId("zoom").ariaPressed = String(photos !== null);
  byId("zoom").ariaBusy = String(photos !== null && !ready);
  byId("zoom-keys").hidden = !ready;
  byId("zoom-failed").hidden = true;
  for (const stage of STAGES) stage.classList.toggle("zoomed", ready);
}

/** How far the photo of a stage is larger than the stage, across and down, in CSS pixels. */
function excess(place) {
  const { naturalWidth, naturalHeight } = photos[place];
  const { clientWidth, clientHeight } = STAGES[place];
  return [naturalWidth / devicePixelRatio - clientWidth, naturalHeight / devicePixelRatio - clientHeight];
}

function arrange() {
  if (!ready) return;
  const onPixel = (length) => Math.round(length * devicePixelRatio) / devicePixelRatio;
  for (const [place, photo] of photos.entries()) {
    // What is smaller than its window stands in the middle.
    const [across, down] = excess(place).map((more, axis) => onPixel(-more * (more > 0 ? seen[axis] : 0.5)));
    photo.style.width = `${photo.naturalWidth / devicePixelRatio}px`;
    photo.style.transform = `translate(${across}px, ${down}px)`;
  }
}

/** Move what is seen by CSS pixels of the photo in one place. */
function move(place, pixels) {
  const room = excess(place);
  seen = seen.map((part, axis) =>
    room[axis] > 0 ? Math.min(1, Math.max(0, part + pixels[axis] / room[axis])) : part,
  );
  arrange();
}

/** Move by an arrow key; whether it was one. */
export function moveByKey(key) {
  const step = STEPS[key];
  if (!ready || !step) return false;
  const [first, second] = [0, 1].map((place) => Math.max(...excess(place)));
  const place = second > first ? 1 : 0;
  const { clientWidth, clientHeight } = STAGES[place];
  move(place, [step[0] * KEY_STEP * clientWidth, step[1] * KEY_STEP * clientHeight]);
  return true;
}

for (const [place, stage] of STAGES.entries()) {
  stage.addEventListener("pointerdown", (event) => {
    if (!ready || event.button !== 0) return;
    drag = { at: [event.clientX, event.clientY], way: 0 };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag || !stage.hasPointerCapture(event.pointerId)) return;
    const by = [drag.at[0] - event.clientX, drag.at[1] - event.clientY];
    drag = { at: [event.clientX, event.clientY], way: drag.way + Math.hypot(...by) };
    move(place, by);
  });
  // Before the page takes a click for an answer.
  stage.addEventListener(
    "click",
    (event) => {
      if (!ready) return;
      event.stopImmediatePropagation();
      if (!drag || drag.way < CLICK_PX) leaveZoom();
      drag = null;
    },
    { capture: true },
  );
}
addEventListener("resize", arrange);
