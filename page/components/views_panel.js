// The six views: a slider over the frames of the video of grids above, and what is to be left out.
const FPS = 12;  // of that video
const $ = (name) => element.querySelector(name);
const film = () => document.querySelector("#grid video");
let out = new Set(), tries = new Map(), moved = {};

const start = () => {
  const box = $(".views");
  if (!box) return;
  const words = (text) => (text ?? "").split(" ").filter(Boolean);
  out = new Set(words(box.dataset.exclude));
  tries = new Map(words(box.dataset.redraw).map((name) => name.split(":")));
  moved = {};
  const video = film();
  if (!video) {  // it joins the page after this panel
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
  const now = $(".now");
  const told = [];
  if (out.size) told.push(`Left out, as frame:view: ${[...out].join(", ")}.`);
  if (tries.size) told.push(`Drawn once more: frame ${[...tries.keys()].join(", ")}.`);
  if (now) now.textContent = told.join(" ");
};
const show = (frame) => {
  const video = film();
  $(".frame").value = frame;
  if (video) {
    video.pause();
    video.currentTime = (frame - 0.5) / FPS;
  }
  draw();
};
const tell = () => {
  $(".again").hidden = false;
  const redraw = [...tries].map((pair) => pair.join(":")).join(" ");
  trigger("input", {exclude: [...out].join(" "), redraw, ...moved});
};

element.addEventListener("input", ({target}) => {
  if (target.matches(".frame")) show(target.value);
  if (target.matches(".slant")) $(".slant-is").textContent = `${target.value} degrees`;
  if (target.matches(".depth")) $(".depth-is").textContent = target.value;
});
element.addEventListener("change", ({target}) => {
  if (!target.matches(".slant, .depth")) return;
  moved[target.className] = target.value;
  tell();
});
element.addEventListener("click", ({target}) => {
  if (target.matches(".flag")) show(target.dataset.frame);
  if (target.matches(".leave")) {
    show($(".frame").value);  // a film that plays on would take the frame away
    const name = `${$(".frame").value}:${target.dataset.view}`;
    if (!out.delete(name)) out.add(name);
    draw();
    tell();
  }
  if (target.matches(".redraw")) {
    const {value} = $(".frame");
    show(value);
    tries.set(value, Number(tries.get(value) ?? 0) + 1);
    draw();
    tell();
  }
  if (target.matches(".again")) trigger("submit", {});
});
watch("value", start);
start();
