// <ds4d-player src="object.ds4d">: the 4D player as an element. ds4d/viewer/__init__.py says how a
// page embeds it.

import { listen, press } from "./controls.js";
import { markup } from "./template.js";
import { chunksOf, readPacked } from "./packed.js";
import { Viewport } from "./viewport.js";
import { STYLE } from "./style.js";

const COMES_BACK = 4000; // ms that a lost WebGL context may take to be restored
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

  // --- for pages and scripts ---------------------------------------------------------------------

  /** { azimuth, elevation, radius, fov, target [x, y, z] }; any part of it can be set. Degrees and
   * world units. */
  get camera() {
    return { ...this.stage.camera };
  }
  set camera(part) {
    this.stage.interrupt();
    this.stage.setCamera(part);
  }

  /** The place in the clip, from 0 to 1. */
  get time() {
    return this.stage.time;
  }
  set time(time) {
    this.stage.setTime(time);
  }

  get playing() {
    return this.stage.playing;
  }
  play() {
    this.stage.play();
  }
  pause() {
    this.stage.play(false);
  }

  /** Resolves when the present camera and time are on the canvas, sharp. */
  draw() {
    return this.stage.draw();
  }

  /** What is on the canvas: { width, height, data }, premultiplied RGBA, rows from the top. */
  async pixels() {
    await this.stage.draw();
    this.stage.redraw();
    return this.stage.renderer.pixels();
  }

  /** Gaussians, frames loaded, ms between the last pictures, and their share of the resolution. */
  get facts() {
    const { header, loaded, pace, canvas } = this.stage;
    return {
      gaussians: header.gaussians,
      frames: loaded,
      intervals: [...pace.intervals],
      width: canvas.width,
      height: canvas.height,
    };
  }

  // --- life --------------------------------------------------------------------------------------

  /** Start afresh. `ready` resolves with the first picture, `loaded` with the last frame. */
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
      this.stage = new Viewport(this.$("canvas"), { changed: () => this.show(), calm: calm.matches });
    } catch (error) {
      this.fail(error.message);
      return;
    }
    this.listen();
    this.load(this.stage);
  }

  shut() {
    this.loading?.abort();
    this.stage?.close();
    this.stage = null;
  }

  async load(stage) {
    this.loading = new AbortController();
    const chunks = chunksOf(this.getAttribute("src") ?? "", this.loading.signal);
    const onHeader = (header, looks) => {
      stage.setHeader(header, looks, this.startCamera());
      this.$("time").max = 1;
    };
    const onFrame = async (index, texels, means) => {
      if (stage !== this.stage) throw new DOMException("closed", "AbortError");
      stage.addFrame(texels, means);
      if (index === 0) await this.begin(stage);
      this.show();
    };
    try {
      await readPacked(chunks, onHeader, onFrame);
      this.isLoaded();
    } catch (error) {
      if (error.name !== "AbortError" && stage === this.stage) this.fail(error.message);
    }
  }

  async begin(stage) {
    stage.visible = true; // so that a player below the fold is ready, too
    await stage.draw();
    this.dataset.state = "ready";
    this.$("poster").hidden = true;
    this.$("wait").hidden = true;
    this.$("controls").inert = false;
    this.$("hint").textContent =
      `Drag to turn, ${matchMedia("(pointer: coarse)").matches ? "pinch" : "scroll"} to zoom`;
    this.$("hint").hidden = false;
    stage.play(this.getAttribute("autoplay") !== "no" && !calm.matches);
    if (this.hasAttribute("rotate") && !calm.matches) stage.rotate();
    this.isReady();
    this.dispatchEvent(new CustomEvent("ready", { bubbles: true }));
  }

  /** A sentence, and the turntable video where there is one. */
  fail(sentence) {
    this.shut();
    this.dataset.state = "failed";
    const video = this.$("video"),
      fallback = this.getAttribute("fallback");
    this.$("stage").hidden = this.$("controls").hidden = true;
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
    const { stage } = this;
    const canvas = this.$("canvas"),
      slider = this.$("time");
    const actions = {
      " ": () => stage.play(!stage.playing),
      i: () => (stage.following ? stage.flyTo(stage.start) : stage.follow()),
      a: () => stage.rotate(!stage.rotating),
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
    slider.addEventListener("input", () => stage.setTime(Number(slider.value)));
    slider.addEventListener("pointerdown", () => {
      stage.scrubbing = stage.held = true;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      slider.addEventListener(name, () => {
        stage.scrubbing = stage.held = false;
        stage.wake(true);
      });
    }
    canvas.addEventListener(
      "keydown",
      (event) => press(event, stage, actions) && event.preventDefault(),
    );
    canvas.addEventListener(
      "pointerdown",
      () => {
        this.$("hint").hidden = true;
      },
      { once: true },
    );
    listen(canvas, stage, () => this.shadow.activeElement === canvas);
    this.watchContext(canvas, stage);
    this.onfullscreenchange = () => this.showFull();
  }

  watchContext(canvas, stage) {
    let patience;
    canvas.addEventListener("webglcontextlost", (event) => {
      if (stage.closed) return;
      event.preventDefault(); // it may be restored
      patience = setTimeout(() => this.fail("The graphics card has given up."), COMES_BACK);
    });
    canvas.addEventListener("webglcontextrestored", () => {
      clearTimeout(patience);
      stage.restore();
    });
  }

  reset() {
    const { stage } = this;
    stage.flyTo(stage.start);
    stage.setTime(0);
    this.setBackground(this.getAttribute("background") ?? (this.dark ? "black" : "white"));
  }

  setBackground(name) {
    this.background = BACKGROUNDS.includes(name) ? name : "white";
    this.$("stage").dataset.background = this.background;
    for (const swatch of this.shadow.querySelectorAll("[name=background]"))
      swatch.checked = swatch.value === this.background;
  }

  /** Full screen, or, where a phone has none for elements, the whole window. */
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

  /** Bring the controls up to date. */
  show() {
    const { stage } = this;
    if (!stage?.header || !stage.loaded) return;
    const { positions, seconds } = stage.header;
    const slider = this.$("time"),
      now = stage.time * seconds,
      frame = stage.frame() + 1;
    slider.value = stage.time;
    slider.style.setProperty("--now", stage.time);
    slider.style.setProperty("--loaded", positions[stage.loaded - 1]);
    slider.setAttribute(
      "aria-valuetext",
      `${now.toFixed(1)} of ${seconds.toFixed(1)} seconds, frame ${frame} of ${positions.length}`,
    );
    this.$("clock").textContent = `${now.toFixed(1)} / ${seconds.toFixed(1)} s`;
    const pressed = { play: stage.playing, input: stage.following, rotate: stage.rotating };
    for (const [part, is] of Object.entries(pressed)) this.$(part).setAttribute("aria-pressed", is);
    this.$("play").setAttribute("aria-label", stage.playing ? "Pause" : "Play");
    this.$("needle").setAttribute(
      "transform",
      `rotate(${(stage.input.azimuth - stage.camera.azimuth).toFixed(1)} 12 12)`,
    );
  }
}

const dark = new CSSStyleSheet(); // pages that are dark by a class and not by color-scheme
dark.replaceSync(".dark ds4d-player { color-scheme: dark; }");
document.adoptedStyleSheets.push(dark);
if (!customElements.get("ds4d-player")) customElements.define("ds4d-player", Player);
