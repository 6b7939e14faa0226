// Pointer, wheel and keyboard controls of the canvas.

const DEGREES_PER_PIXEL = 0.4; // on a canvas of 500 pixels
const KEY_DEGREES = 6,
  KEY_ZOOM = 1.12;

/** Attach controls: drag to orbit, pinch to zoom, wheel to zoom when focused (or with Ctrl). */
export function listen(canvas, viewport, focused) {
  const pointers = new Map(); // currently down
  let speed = { azimuth: 0, elevation: 0 },
    movedAt = 0;

  const spread = () => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  const turnBy = (from, to) => {
    const degrees = (DEGREES_PER_PIXEL * 500) / Math.min(canvas.clientWidth, canvas.clientHeight);
    const azimuth = -(to.clientX - from.clientX) * degrees,
      elevation = (to.clientY - from.clientY) * degrees;
    const ms = Math.max(to.timeStamp - movedAt, 1);
    speed = { azimuth: azimuth / ms, elevation: elevation / ms };
    movedAt = to.timeStamp;
    viewport.turn(azimuth, elevation);
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!viewport.loaded || event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    viewport.held = true;
    speed = { azimuth: 0, elevation: 0 };
    movedAt = event.timeStamp;
    viewport.speed = { azimuth: 0, elevation: 0 };
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const previous = pointers.size === 2 && spread();
    pointers.set(event.pointerId, event);
    if (pointers.size === 1) turnBy(before, event);
    else if (pointers.size === 2) viewport.zoom(previous / Math.max(spread(), 1));
  });
  const lift = (event) => {
    if (!pointers.delete(event.pointerId) || pointers.size) return;
    const resting = event.timeStamp - movedAt > 60 || event.type === "pointercancel";
    viewport.release(resting ? 0 : speed.azimuth, resting ? 0 : speed.elevation);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!viewport.loaded || !(event.ctrlKey || focused())) return; // the page scrolls
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      viewport.zoom(Math.exp(Math.min(Math.max(pixels, -200), 200) * (event.ctrlKey ? 0.01 : 0.0015)));
      viewport.movedAt = performance.now();
    },
    { passive: false },
  );
}

/** Handle a key; `actions` maps letters to functions. Returns whether the key was handled. */
export function press(event, viewport, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey || !viewport.loaded) return false;
  const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const zooms = { "+": 1 / KEY_ZOOM, "=": 1 / KEY_ZOOM, "-": KEY_ZOOM };
  const steps = { ",": -1, ".": 1 };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (turns[key]) viewport.turn(...turns[key].map((way) => way * KEY_DEGREES));
  else if (zooms[key]) viewport.zoom(zooms[key]);
  else if (steps[key]) viewport.step(steps[key]);
  else if (actions[key]) actions[key]();
  else return false;
  viewport.movedAt = performance.now();
  return true;
}
