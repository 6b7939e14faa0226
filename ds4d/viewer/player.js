// <ds4d-player src="object.ds4d">: the 4D player as a custom element. See ds4d/viewer/__init__.py for
// how to embed it.

import { listen, press } from "./controls.js";
import { markup } from "./template.js";
import { chunksOf, readPacked } from "./packed.js";
import { Viewport } from "./viewport.js";
import { STYLE } from "./style.js";

const RESTORE_MS = 4000; // time that a lost WebGL context may take to be restored
const BACKGROUNDS = ["white", "grey", "black", "checker"];
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class Player extends HTMLElement {
  static observedAttributes = ["src"];

  connectedCallback() {
    this.open();
  }

  disconnectedCallback() {
    this.shut();
  }

  attributeChangedCallback(name, before, after) {
    if (this.isConnected && before !== null && before !== after) this.open();
  }

  // --- scripting interface -----------------------------------------------------------------------

  /** { azimuth, elevation, radius, fov, target [x, y, z] }; any part of it can be set. Degrees and
   * world units. */
  get camera() {
    return { ...this.viewport.camera };
  }
  set camera(part) {
    this.viewport.interrupt();
    this.viewport.setCamera(part);
  }

  /** Position in the clip, from 0 to 1. */
  get time() {
    return this.viewport.time;
  }
  set time(time) {
    this.viewport.setTime(time);
  }

  get playing() {
    return this.viewport.playing;
  }
  play() {
    this.viewport.play();
  }
  pause() {
    this.viewport.play(false);
  }

  /** Resolves when the current camera and time are on the canvas at full resolution. */
  draw() {
    return this.viewport.draw();
  }

  /** Content of the canvas: { width, height, data }, premultiplied RGBA, rows from the top. */
  async pixels() {
    await this.viewport.draw();
    this.viewport.redraw();
    return this.viewport.renderer.pixels();
  }

  /** Statistics: Gaussians, frames loaded, intervals between frames (ms), canvas size. */
  get facts() {
    const { header, loaded, pace, canvas } = this.viewport;
    return {
      gaussians: header.gaussians,
      frames: loaded,
      intervals: [...pace.intervals],
      width: canvas.width,
      height: canvas.height,
    };
  }

  // --- life cycle --------------------------------------------------------------------------------

  /** (Re)load. `ready` resolves with the first frame, `loaded` with the last frame. */
  open() {
    this.shut();
    this.shadow ??= this.attachShadow({ mode: "open" });
    this.shadow.innerHTML = `<style>${STYLE}</style>${markup(this.label)}`;
    this.$ = (name) => this.shadow.querySelector(`[data-part="${name}"]`);
    this.setBackground(this.getAttribute("background") ?? (this.dark ? "black" : "white"));
    const poster = this.getAttribute("poster");
    this.$("poster").hidden = !poster;
    if (poster) this.$("poster").src = poster;
    this.ready = new Promise((resolve) => {
      this.isReady = resolve;
    });
    this.loaded = new Promise((resolve) => {
      this.isLoaded = resolve;
    });
    try {
      this.viewport = new Viewport(this.$("canvas"), { changed: () => this.show(), calm: calm.matches });
    } catch (error) {
      this.fail(error.message);
      return;
    }
    this.listen();
    this.load(this.viewport);
  }

  shut() {
    this.loading?.abort();
    this.viewport?.close();
    this.viewport = null;
  }

  async load(viewport) {
    this.loading = new AbortController();
    const chunks = chunksOf(this.getAttribute("src") ?? "", this.loading.signal);
    const onHeader = (header, appearance) => {
      viewport.setHeader(header, appearance, this.startCamera());
      this.$("time").max = 1;
    };
    const onFrame = async (index, texels, means) => {
      if (viewport !== this.viewport) throw new DOMException("closed", "AbortError");
      viewport.addFrame(texels, means);
      if (index === 0) await this.begin(viewport);
      this.show();
    };
    try {
      await readPacked(chunks, onHeader, onFrame);
      this.isLoaded();
    } catch (error) {
      if (error.name !== "AbortError" && viewport === this.viewport) this.fail(error.message);
    }
  }

  async begin(viewport) {
    viewport.visible = true; // so that a player below the fold is ready, too
    await viewport.draw();
    this.dataset.state = "ready";
    this.$("poster").hidden = true;
    this.$("wait").hidden = true;
    this.$("controls").inert = false;
    this.$("hint").textContent =
      `Drag to turn, ${matchMedia("(pointer: coarse)").matches ? "pinch" : "scroll"} to zoom`;
    this.$("hint").hidden = false;
    viewport.play(this.getAttribute("autoplay") !== "no" && !calm.matches);
    if (this.hasAttribute("rotate") && !calm.matches) viewport.rotate();
    this.isReady();
    this.dispatchEvent(new CustomEvent("ready", { bubbles: true }));
  }

  /** Show an error message, and the turntable video if there is one. */
  fail(sentence) {
    this.shut();
    this.dataset.state = "failed";
    const video = this.$("video"),
      fallback = this.getAttribute("fallback");
    this.$("viewport").hidden = this.$("controls").hidden = true;
    this.$("failure").hidden = false;
    this.$("sentence").textContent = fallback
      ? `${sentence} Here is the turntable video instead.`
      : sentence;
    video.hidden = !fallback;
    if (!fallback) return;
    if (this.hasAttribute("poster")) video.poster = this.getAttribute("poster");
    video.autoplay = !calm.matches;
    video.src = fallback;
  }

  startCamera() {
    const given = ["azimuth", "elevation", "radius"].filter((name) => this.hasAttribute(name));
    return Object.fromEntries(given.map((name) => [name, Number(this.getAttribute(name))]));
  }

  get label() {
    return this.getAttribute("label") ?? "The object in 4D";
  }

  get dark() {
    return getComputedStyle(this.$("probe")).color === "rgb(255, 255, 255)";
  }

  // --- controls ----------------------------------------------------------------------------------

  listen() {
    const { viewport } = this;
    const canvas = this.$("canvas"),
      slider = this.$("time");
    const actions = {
      " ": () => viewport.play(!viewport.playing),
      i: () => (viewport.following ? viewport.flyTo(viewport.start) : viewport.follow()),
      a: () => viewport.rotate(!viewport.rotating),
      b: () =>
        this.setBackground(
          BACKGROUNDS[(BACKGROUNDS.indexOf(this.background) + 1) % BACKGROUNDS.length],
        ),
      r: () => this.reset(),
      f: () => this.toggleFull(),
      Escape: () => this.$("player").classList.contains("full") && this.fillWindow(),
    };
    const buttons = { play: " ", input: "i", rotate: "a", reset: "r", full: "f" };
    for (const [part, key] of Object.entries(buttons))
      this.$(part).addEventListener("click", () => actions[key]());
    for (const swatch of this.shadow.querySelectorAll("[name=background]")) {
      swatch.addEventListener("change", () => this.setBackground(swatch.value));
    }
    slider.addEventListener("input", () => viewport.setTime(Number(slider.value)));
    slider.addEventListener("pointerdown", () => {
      viewport.scrubbing = viewport.held = true;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      slider.addEventListener(name, () => {
        viewport.scrubbing = viewport.held = false;
        viewport.wake(true);
      });
    }
    canvas.addEventListener(
      "keydown",
      (event) => press(event, viewport, actions) && event.preventDefault(),
    );
    canvas.addEventListener(
      "pointerdown",
      () => {
        this.$("hint").hidden = true;
      },
      { once: true },
    );
    listen(canvas, viewport, () => this.shadow.activeElement === canvas);
    this.watchContext(canvas, viewport);
    this.onfullscreenchange = () => this.showFull();
  }

  watchContext(canvas, viewport) {
    let timeout;
    canvas.addEventListener("webglcontextlost", (event) => {
      if (viewport.closed) return;
      event.preventDefault(); // it may be restored
      timeout = setTimeout(() => this.fail("The graphics context was lost."), RESTORE_MS);
    });
    canvas.addEventListener("webglcontextrestored", () => {
      clearTimeout(timeout);
      viewport.restore();
    });
  }

  reset() {
    const { viewport } = this;
    viewport.flyTo(viewport.start);
    viewport.setTime(0);
    this.setBackground(this.getAttribute("background") ?? (this.dark ? "black" : "white"));
  }

  setBackground(name) {
    this.background = BACKGROUNDS.includes(name) ? name : "white";
    this.$("viewport").dataset.background = this.background;
    for (const swatch of this.shadow.querySelectorAll("[name=background]"))
      swatch.checked = swatch.value === this.background;
  }

  /** Toggle full screen, or fill the window where elements cannot be full screen (iPhones). */
  toggleFull() {
    if (document.fullscreenElement === this) document.exitFullscreen();
    else if (document.fullscreenEnabled) this.requestFullscreen().catch(() => this.fillWindow());
    else this.fillWindow();
  }

  fillWindow() {
    this.$("player").classList.toggle("full");
    this.showFull();
  }

  showFull() {
    const full = document.fullscreenElement === this || this.$("player").classList.contains("full");
    this.$("full").setAttribute("aria-pressed", full);
  }

  /** Update the controls. */
  show() {
    const { viewport } = this;
    if (!viewport?.header || !viewport.loaded) return;
    const { positions, seconds } = viewport.header;
    const slider = this.$("time"),
      now = viewport.time * seconds,
      frame = viewport.frame() + 1;
    slider.value = viewport.time;
    slider.style.setProperty("--now", viewport.time);
    slider.style.setProperty("--loaded", positions[viewport.loaded - 1]);
    slider.setAttribute(
      "aria-valuetext",
      `${now.toFixed(1)} of ${seconds.toFixed(1)} seconds, frame ${frame} of ${positions.length}`,
    );
    this.$("clock").textContent = `${now.toFixed(1)} / ${seconds.toFixed(1)} s`;
    const pressed = { play: viewport.playing, input: viewport.following, rotate: viewport.rotating };
    for (const [part, is] of Object.entries(pressed)) this.$(part).setAttribute("aria-pressed", is);
    this.$("play").setAttribute("aria-label", viewport.playing ? "Pause" : "Play");
    this.$("needle").setAttribute(
      "transform",
      `rotate(${(viewport.input.azimuth - viewport.camera.azimuth).toFixed(1)} 12 12)`,
    );
  }
}

const dark = new CSSStyleSheet(); // pages that are dark by a class and not by color-scheme
dark.replaceSync(".dark ds4d-player { color-scheme: dark; }");
document.adoptedStyleSheets.push(dark);
if (!customElements.get("ds4d-player")) customElements.define("ds4d-player", Player);
