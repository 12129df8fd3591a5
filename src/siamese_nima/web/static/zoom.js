"use strict";
// One photo, or two, pixel for pixel; two are moved together: the same part of each is seen.

const CLICK_PX = 6; // a finger that moves less than this has tapped
const KEY_STEP = 0.15; // of the window, for one press of an arrow key
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Zoom {
  #stages;
  #tell;
  #photos = null; // while zoomed, or while what is to be seen is loaded
  #ready = false;
  #seen = [0.5, 0.5]; // the part of the photos in the window: 0 is the left or upper end, 1 the other
  #drag = null;

  /** Stages are the windows; `tell` is called with whole, loading, zoomed or failed. */
  constructor(stages, tell) {
    this.#stages = stages;
    this.#tell = tell;
    for (const [place, stage] of stages.entries()) this.#listen(place, stage);
    addEventListener("resize", () => this.#arrange());
  }

  /** Whether photos are seen pixel for pixel. */
  get on() {
    return this.#ready;
  }

  /** Whether they are, or will be once they are loaded. */
  get wanted() {
    return this.#photos !== null;
  }

  /** Show the photos at these addresses, one for each stage; what was seen of others stays in sight. */
  async enter(addresses) {
    const before = this.#photos ?? [];
    const loading = addresses.map((address) => {
      const photo = new Image();
      photo.alt = "";
      photo.draggable = false;
      photo.className = "full";
      photo.src = address;
      return photo;
    });
    this.#photos = loading;
    if (before.length === 0) this.#seen = [0.5, 0.5];
    this.#ready = false;
    this.#say("loading");
    try {
      await Promise.all(loading.map((photo) => photo.decode()));
    } catch {
      if (this.#photos !== loading) return;
      this.leave();
      this.#say("failed");
      return;
    }
    for (const photo of before) photo.remove();
    if (this.#photos !== loading) return;
    for (const [place, stage] of this.#stages.entries()) stage.append(loading[place]);
    this.#ready = true;
    this.#say("zoomed");
    this.#arrange();
  }

  /** Show whole photos. */
  leave() {
    for (const stage of this.#stages) for (const photo of stage.querySelectorAll(".full")) photo.remove();
    this.#photos = this.#drag = null;
    this.#ready = false;
    this.#say("whole");
  }

  /** Move by an arrow key; whether it was one. */
  moveByKey(key) {
    const step = STEPS[key];
    if (!this.#ready || !step) return false;
    const room = this.#stages.map((_, place) => Math.max(...this.#excess(place)));
    const place = room.indexOf(Math.max(...room));
    const { clientWidth, clientHeight } = this.#stages[place];
    this.#move(place, [step[0] * KEY_STEP * clientWidth, step[1] * KEY_STEP * clientHeight]);
    return true;
  }

  #say(state) {
    for (const stage of this.#stages) stage.classList.toggle("zoomed", this.#ready);
    this.#tell(state);
  }

  /** How far the photo of a stage is larger than the stage, across and down, in CSS pixels. */
  #excess(place) {
    const { naturalWidth, naturalHeight } = this.#photos[place];
    const { clientWidth, clientHeight } = this.#stages[place];
    return [naturalWidth / devicePixelRatio - clientWidth, naturalHeight / devicePixelRatio - clientHeight];
  }

  #arrange() {
    if (!this.#ready) return;
    const onPixel = (length) => Math.round(length * devicePixelRatio) / devicePixelRatio;
    for (const [place, photo] of this.#photos.entries()) {
      // What is smaller than its window stands in the middle.
      const at = this.#excess(place).map((more, axis) => onPixel(-more * (more > 0 ? this.#seen[axis] : 0.5)));
      photo.style.width = `${photo.naturalWidth / devicePixelRatio}px`;
      photo.style.transform = `translate(${at[0]}px, ${at[1]}px)`;
    }
  }

  /** Move what is seen by CSS pixels of the photo in one place. */
  #move(place, pixels) {
    const room = this.#excess(place);
    this.#seen = this.#seen.map((part, axis) =>
      room[axis] > 0 ? Math.min(1, Math.max(0, part + pixels[axis] / room[axis])) : part,
    );
    this.#arrange();
  }

  #listen(place, stage) {
    stage.addEventListener("pointerdown", (event) => {
      if (!this.#ready || event.button !== 0) return;
      this.#drag = { at: [event.clientX, event.clientY], way: 0 };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      const drag = this.#drag;
      if (!drag || !stage.hasPointerCapture(event.pointerId)) return;
      const by = [drag.at[0] - event.clientX, drag.at[1] - event.clientY];
      this.#drag = { at: [event.clientX, event.clientY], way: drag.way + Math.hypot(...by) };
      this.#move(place, by);
    });
    // Before the page takes a click for an answer.
    stage.addEventListener(
      "click",
      (event) => {
        if (!this.#ready) return;
        event.stopImmediatePropagation();
        if (!this.#drag || this.#drag.way < CLICK_PX) this.leave();
        this.#drag = null;
      },
      { capture: true },
    );
  }
}
