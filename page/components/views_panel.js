// The six views: a slider over the frames of the video above, and the views to leave out.
const FPS = 12;  // of that video
const $ = (name) => element.querySelector(name);
const grid = () => document.querySelector("#grid video");
let out = new Set(), tries = new Map(), moved = {};

const start = () => {
  const box = $(".views");
  if (!box) return;
  const items = (text) => (text ?? "").split(" ").filter(Boolean);
  out = new Set(items(box.dataset.exclude));
  tries = new Map(items(box.dataset.redraw).map((item) => item.split(":")));
  moved = {};
  const video = grid();
  if (!video) {  // it is mounted after this panel
    setTimeout(start, 300);
    return;
  }
  const count = () => {
    const frames = Math.max(2, Math.round(video.duration * FPS));
    $(".frame").max = frames;
    draw();
  };
  if (video.readyState) count();
  video.addEventListener("loadedmetadata", count);
  video.addEventListener("timeupdate", () => {
    if (video.paused || !$(".frame")) return;
    $(".frame").value = Math.floor(video.currentTime * FPS) + 1;
    draw();
  });
};
const draw = () => {
  const frame = $(".frame").value;
  $(".frames output").textContent = `${frame} of ${$(".frame").max}`;
  for (const button of element.querySelectorAll(".leave"))
    button.setAttribute("aria-pressed", out.has(`${frame}:${button.dataset.view}`));
  const summary = $(".now"), sentences = [];
  if (out.size) sentences.push(`Left out (frame:view): ${[...out].join(", ")}.`);
  if (tries.size) sentences.push(`To generate again: frame ${[...tries.keys()].join(", ")}.`);
  if (summary) summary.textContent = sentences.join(" ");
};
const show = (frame) => {
  const video = grid();
  $(".frame").value = frame;
  if (video) {
    video.pause();
    video.currentTime = (frame - 0.5) / FPS;
  }
  draw();
};
const settings = () => ({
  exclude: [...out].join(" "),
  redraw: [...tries].map((pair) => pair.join(":")).join(" "),
  ...moved,
});
const changed = () => {
  $(".again").hidden = false;
  trigger("input", settings());
};

element.addEventListener("input", ({target}) => {
  if (target.matches(".frame")) show(target.value);
  if (target.matches(".slant")) $(".slant-is").textContent = `${target.value} degrees`;
  if (target.matches(".depth")) $(".depth-is").textContent = target.value;
});
element.addEventListener("change", ({target}) => {
  if (!target.matches(".slant, .depth")) return;
  moved[target.className] = target.value;
  changed();
});
element.addEventListener("click", ({target}) => {
  if (target.matches(".flag")) show(target.dataset.frame);
  if (target.matches(".leave")) {
    show($(".frame").value);  // stops the video, which would move on to other frames
    const name = `${$(".frame").value}:${target.dataset.view}`;
    if (!out.delete(name)) out.add(name);
    draw();
    changed();
  }
  if (target.matches(".redraw")) {
    const {value} = $(".frame");
    show(value);
    tries.set(value, Number(tries.get(value) ?? 0) + 1);
    draw();
    changed();
  }
  if (target.matches(".again")) trigger("submit", settings());
});
watch("value", start);
start();
