// The viewport: camera, time, inertia, and the render loop.

import { between, limited } from "./camera.js";
import { AdaptiveResolution } from "./adaptive_resolution.js";
import { Renderer } from "./renderer.js";
import { Sorter } from "./sorter.js";

const MAX_PENDING = 1; // frames the GPU may still be rendering when the next one is submitted
const MAX_PIXELS = 1600; // along a side
const SETTLE_MS = 250; // without motion until a full-resolution frame is drawn
const MIN_SPEED = 0.004; // degrees per ms; slower inertia stops
const ROTATION = 20 / 1000; // degrees per ms of the turntable
const FLIGHT_MS = 600; // of a flight to another camera

export class Viewport {
  /** changed(): called when camera, time or a mode changes; calm: no unsolicited motion. */
  constructor(canvas, { changed, calm }) {
    Object.assign(this, { canvas, changed, calm });
    this.renderer = new Renderer(canvas);
    this.sorter = new Sorter();
    this.camera = this.start = this.input = null;
    this.time = 0;
    this.playing = this.rotating = this.following = this.held = false;
    this.travel = 0; // 1 shows the clip's whole frame, which the object crosses; 0 stays on the object
    this.visible = true;
    this.loaded = 0; // frames
    this.pace = new AdaptiveResolution();
    this.movedAt = -Infinity;
    this.speed = { azimuth: 0, elevation: 0 }; // degrees per ms, after release
    this.waiting = []; // promises of full-resolution frames
    this.observers = [
      new ResizeObserver(() => this.wake(true)),
      new IntersectionObserver(([entry]) => {
        this.visible = entry.isIntersecting;
        this.wake(true);
      }),
    ];
    this.observers.forEach((observer) => observer.observe(canvas));
  }

  setHeader(header, appearance, start) {
    this.header = header;
    this.renderer.setHeader(header, appearance);
    this.sorter.setGlide(header.longest_glide / header.means.step);
    this.input = { target: [0, 0, 0], ...header.camera };
    this.start = { ...this.input, ...start };
    this.camera = { ...this.start };
  }

  addFrame(texels, means) {
    this.renderer.addFrame(texels);
    this.sorter.addFrame(means);
    this.loaded++;
    this.order = null;
    this.wake(true);
  }

  // --- interaction ------------------------------------------------------------------------

  /** Orbit by degrees; leaves the turntable and the input view. */
  turn(azimuth, elevation) {
    this.interrupt();
    this.setCamera({
      azimuth: this.camera.azimuth + azimuth,
      elevation: this.camera.elevation + elevation,
    });
  }

  zoom(factor) {
    this.interrupt();
    this.setCamera({ radius: this.camera.radius * factor });
  }

  /** End of a drag, at a speed in degrees per ms. */
  release(azimuth, elevation) {
    this.held = false;
    if (!this.calm) this.speed = { azimuth, elevation };
    this.wake(true);
  }

  interrupt() {
    this.transition = null;
    this.speed = { azimuth: 0, elevation: 0 };
    this.rotating = this.following = false;
  }

  /** Set some of azimuth, elevation, radius, fov, target at once. */
  setCamera(part) {
    this.camera = limited({ ...this.camera, ...part }, this.input);
    this.wake(true);
  }

  flyTo(camera) {
    this.interrupt();
    this.transition = {
      from: { ...this.camera },
      to: camera,
      began: performance.now(),
      lasts: this.calm ? 0 : FLIGHT_MS,
    };
    this.wake(true);
  }

  follow() {
    this.flyTo(this.input);
    this.following = true;
  }

  setTime(time) {
    this.time = Math.min(Math.max(time, 0), 1);
    this.wake(true);
  }

  /** Step by a number of frames, wrapping at the ends. */
  step(frames) {
    const count = this.header.positions.length;
    this.playing = false;
    this.setTime(this.header.positions[(this.frame() + frames + count) % count]);
  }

  play(playing = true) {
    this.playing = playing && this.header.positions.length > 1;
    this.wake(true);
  }

  rotate(rotating = true) {
    this.interrupt();
    this.rotating = rotating;
    this.wake(true);
  }

  // --- time --------------------------------------------------------------------------------------

  /** Frames before and after the current time, and the interpolation weight between them. */
  moment() {
    const { positions } = this.header,
      last = this.loaded - 1;
    if (last === 0) return { before: 0, after: 0, share: 0 };
    const found = positions.findIndex((position) => position >= this.time);
    const after = Math.min(Math.max(found < 0 ? last : found, 1), last);
    const [from, to] = [positions[after - 1], positions[after]];
    return {
      before: after - 1,
      after,
      share: Math.min(Math.max((this.time - from) / (to - from), 0), 1),
    };
  }

  /** Index of the nearest frame. */
  frame() {
    const away = this.header.positions.map((position) => Math.abs(position - this.time));
    return away.indexOf(Math.min(...away));
  }

  /** The clip's frame around the square that the camera shows: its size, and the square's middle
   * from the frame's, in sides of the square. `share`: how far the picture has gone there. */
  frameAt({ before, after, share }) {
    const { width, height, centres } = this.header.clip_frame;
    const middle = centres[before].map((from, axis) => from + share * (centres[after][axis] - from));
    return { width, height, middle, share: this.travel };
  }

  /** Where `travel` is going. */
  get destination() {
    return this.following && this.header.clip_frame ? 1 : 0;
  }

  passTime(ms) {
    const { positions, seconds } = this.header;
    const whole = this.loaded === positions.length;
    const next = this.time + ms / 1000 / seconds;
    if (whole) this.time = next % 1;
    else this.time = Math.min(next, positions[this.loaded - 1]); // wait for the next frame
  }

  // --- drawing -----------------------------------------------------------------------------------

  /** Schedule a tick of the render loop. */
  wake(dirty = false) {
    this.dirty ||= dirty;
    if (this.closed || this.ticking || !this.loaded) return;
    this.ticking = true;
    requestAnimationFrame((now) => this.tick(now));
  }

  /** Resolves when the current camera and time are on the canvas at full resolution. */
  draw() {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.wake(true);
    });
  }

  tick(now) {
    this.ticking = false;
    const ms = Math.min(now - (this.tickedAt ?? now), 100);
    this.tickedAt = now;
    if (this.advance(now, ms)) {
      this.movedAt = now;
      this.dirty = true;
    }
    this.changed();
    // Callers of draw() must find their own frame on the canvas, not the one after it.
    const answered =
      this.drawing?.sent && this.renderer.outstanding() <= MAX_PENDING ? this.finish(now) : 0;
    const settled = now - this.movedAt > SETTLE_MS && !this.held;
    const sharp = settled || this.waiting.length > 0;
    if (
      !this.drawing &&
      !answered &&
      (this.visible || this.waiting.length) &&
      (this.dirty || (sharp && this.blurred))
    )
      this.render(sharp);
    if (this.drawing || this.dirty || this.moving() || this.blurred) {
      if (this.visible || this.waiting.length) this.wake();
    } else this.tickedAt = undefined;
  }

  moving() {
    return (
      this.playing ||
      this.rotating ||
      this.held ||
      Boolean(this.transition) ||
      this.travel !== this.destination ||
      this.speed.azimuth !== 0 ||
      this.speed.elevation !== 0
    );
  }

  /** Advance time and camera; returns whether anything moves. */
  advance(now, ms) {
    if (this.playing && !this.scrubbing) this.passTime(ms);
    if (this.rotating) this.camera.azimuth += ROTATION * ms;
    if (this.transition) {
      const { from, to, began, lasts } = this.transition;
      const share = lasts ? Math.min((now - began) / lasts, 1) : 1;
      this.camera = between(from, to, share * share * (3 - 2 * share));
      if (share >= 1) this.transition = null;
    }
    const step = this.calm ? 1 : ms / FLIGHT_MS,
      away = this.destination - this.travel;
    this.travel += Math.sign(away) * Math.min(Math.abs(away), step);
    const { azimuth, elevation } = this.speed;
    if (azimuth || elevation) {
      this.camera = limited(
        {
          ...this.camera,
          azimuth: this.camera.azimuth + azimuth * ms,
          elevation: this.camera.elevation + elevation * ms,
        },
        this.input,
      );
      const left = Math.exp(-ms / 180);
      const stops = Math.hypot(azimuth, elevation) * left < MIN_SPEED;
      this.speed = stops
        ? { azimuth: 0, elevation: 0 }
        : { azimuth: azimuth * left, elevation: elevation * left };
    }
    return this.moving();
  }

  async render(sharp) {
    const drawing = { sharp, answers: this.waiting.splice(0), sent: false };
    this.drawing = drawing;
    this.dirty = false;
    const camera = { ...this.camera },
      moment = this.moment();
    const key = JSON.stringify([moment, camera.azimuth, camera.elevation]);
    const order =
      this.order?.key === key ? this.order : { key, order: await this.sorted(moment, camera) };
    if (this.closed) return;
    this.order = order;
    const frame = this.travel > 0 ? this.frameAt(moment) : null;
    this.last = { camera, moment, order: order.order, frame };
    this.resize(sharp ? 1 : this.pace.sharpness);
    this.redraw();
    drawing.sent = true;
  }

  sorted(moment, { azimuth, elevation }) {
    const a = (azimuth * Math.PI) / 180,
      e = (elevation * Math.PI) / 180;
    const forward = [-Math.cos(e) * Math.sin(a), Math.cos(e) * Math.cos(a), -Math.sin(e)];
    return this.sorter.order(moment, forward);
  }

  /** Draw the last frame again. */
  redraw() {
    const { camera, moment, order, frame } = this.last;
    this.renderer.draw(camera, moment, order, frame);
  }

  resize(sharpness) {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio =
      Math.min(devicePixelRatio, MAX_PIXELS / Math.max(clientWidth, clientHeight, 1)) * sharpness;
    const width = Math.max(Math.round(clientWidth * ratio), 1),
      height = Math.max(Math.round(clientHeight * ratio), 1);
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, { width, height });
    this.blurred = sharpness < 1;
  }

  /** The frame is on the canvas: resolve its promises and return their number. */
  finish(now) {
    if (this.finishedAt !== undefined && this.moving()) this.pace.add(now - this.finishedAt);
    this.finishedAt = this.moving() ? now : undefined;
    const { answers } = this.drawing;
    this.drawing = null;
    answers.forEach((resolve) => resolve());
    return answers.length;
  }

  /** Rebuild GPU state after a lost context was restored. */
  restore() {
    this.renderer.prepare();
    this.drawing = null;
    this.wake(true);
  }

  close() {
    this.closed = true;
    this.observers.forEach((observer) => observer.disconnect());
    this.sorter.close();
    this.renderer.close();
  }
}
