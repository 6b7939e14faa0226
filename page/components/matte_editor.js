// The matte editor: paint strokes on a frame. Gradio runs this inside a function of its own.
let canvas, pen, size, pixels, board, matte, marks, before, brush = "in", at = null, down = false;
const UNTOUCHED = 0, IN = 1, OUT = 2;
const $ = (name) => element.querySelector(name);
const levels = (image, width, height) => {
  const sheet = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  sheet.drawImage(image, 0, 0, width, height);
  return sheet.getImageData(0, 0, width, height).data;
};
const start = async () => {
  canvas = $("canvas");
  if (!canvas) return;
  const images = ["picture", "matte", "marks"].map((name) => $("img." + name));
  await Promise.all(images.map((image) => image.decode()));
  const {width, height} = canvas;
  pen = canvas.getContext("2d");
  const [picture, alpha, strokes] = images.map((image) => levels(image, width, height));
  pixels = picture;
  matte = Uint8Array.from({length: width * height}, (_, i) => alpha[4 * i]);
  marks = Uint8Array.from({length: width * height}, (_, i) =>
    strokes[4 * i] > 192 ? IN : strokes[4 * i] < 64 ? OUT : UNTOUCHED);
  before = [];
  at = [width / 2, height / 2];
  draw();
};
const draw = () => {
  const {width, height} = canvas;
  const out = pen.createImageData(width, height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const mark = marks[i];
      const a = mark === IN ? 1 : mark === OUT ? 0 : matte[i] / 255;
      const shown = 0.2 + 0.8 * a;  // the background is faint, but visible
      const light = ((x >> 4) + (y >> 4)) & 1 ? 200 : 235;
      for (let c = 0; c < 3; c++) {
        let value = shown * pixels[4 * i + c] + (1 - shown) * light;
        if (mark === IN) value = 0.78 * value + 0.22 * [21, 128, 107][c];
        if (mark === OUT) value = 0.7 * value + 0.3 * [214, 74, 28][c];
        out.data[4 * i + c] = value;
      }
      out.data[4 * i + 3] = 255;
    }
  pen.putImageData(out, 0, 0);
  if (document.activeElement !== canvas) return;
  pen.lineWidth = 2;
  for (const [color, grow] of [["#fff", 1], ["#000", -1]]) {
    pen.strokeStyle = color;
    pen.beginPath();
    pen.arc(at[0], at[1], Math.max(1, radius() + grow), 0, 7);
    pen.stroke();
  }
};
const radius = () => $(".size").value * Math.max(canvas.width, canvas.height) / 640;
const dab = (x, y) => {
  const r = radius(), {width, height} = canvas;
  const value = {in: IN, out: OUT, erase: UNTOUCHED}[brush];
  for (let v = Math.max(0, Math.ceil(y - r)); v <= Math.min(height - 1, y + r); v++)
    for (let u = Math.max(0, Math.ceil(x - r)); u <= Math.min(width - 1, x + r); u++)
      if ((u - x) ** 2 + (v - y) ** 2 <= r * r) marks[v * width + u] = value;
};
const line = (x, y) => {
  const steps = Math.ceil(Math.hypot(x - at[0], y - at[1]) / Math.max(1, radius() / 3)) || 1;
  for (let s = 1; s <= steps; s++)
    dab(at[0] + (x - at[0]) * s / steps, at[1] + (y - at[1]) * s / steps);
  at = [x, y];
  draw();
};
const remember = () => { before.push(marks.slice()); if (before.length > 20) before.shift(); };
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width,
          (event.clientY - box.top) * canvas.height / box.height];
};
const on = (name, action) => element.addEventListener(name, action);
on("pointerdown", (event) => {
  if (event.target !== canvas || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  down = true;
  at = place(event);
  dab(...at);
  draw();
});
on("pointermove", (event) => { if (down) line(...place(event)); });
for (const name of ["pointerup", "pointercancel"]) on(name, () => { down = false; });
on("keydown", (event) => {
  if (event.target !== canvas) return;
  const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  const way = ways[event.key];
  if (event.key === " ") { remember(); dab(...at); }
  else if (way) at = at.map((value, axis) => Math.min(Math.max(
    value + way[axis] * Math.max(2, radius() / 2), 0), axis ? canvas.height : canvas.width));
  else return;
  event.preventDefault();
  draw();
});
on("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.brush) {
    brush = button.dataset.brush;
    for (const other of element.querySelectorAll("[data-brush]"))
      other.setAttribute("aria-pressed", other === button);
  }
  if (button.matches(".undo") && before.length) { marks = before.pop(); draw(); }
  if (button.matches(".apply")) {
    const {width, height} = canvas, sheet = new OffscreenCanvas(width, height).getContext("2d");
    const out = sheet.createImageData(width, height);
    marks.forEach((mark, i) => {
      out.data.fill(mark === IN ? 255 : mark === OUT ? 0 : 128, 4 * i, 4 * i + 3);
      out.data[4 * i + 3] = 255;
    });
    sheet.putImageData(out, 0, 0);
    sheet.canvas.convertToBlob().then((blob) => {
      const reader = new FileReader();
      reader.onload = () => trigger("submit",
        {frame: $(".editor").dataset.frame, marks: reader.result});
      reader.readAsDataURL(blob);
    });
  }
});
on("input", (event) => {
  if (event.target.matches(".frame")) {
    const output = $(".frames output");
    output.textContent = `${event.target.value} of ${event.target.max}`;
  }
});
on("change", (event) => {
  if (event.target.matches(".frame")) trigger("select", {frame: event.target.value - 1});
});
watch("value", start);
start();
