// Two handles on the timeline. While one moves, only the page changes; once it is released, the
// server reports on the new part. The handle keeps the focus, so that keys continue to move it.
let timer, held;
const shown = (box) => {
  const [from, to] = box.querySelectorAll("input");
  const seconds = (handle) => handle.value / box.dataset.fps;
  if (Number(from.value) >= Number(to.value)) {  // at least one frame is between them
    if (held === "from") from.value = to.value - 1;
    else to.value = Number(from.value) + 1;
  }
  for (const handle of [from, to])
    handle.setAttribute("aria-valuetext", `${seconds(handle).toFixed(2)} seconds`);
  box.style.setProperty("--from", from.value / from.max);
  box.style.setProperty("--to", to.value / to.max);
  box.querySelector("output").textContent =
    `${seconds(from).toFixed(2)} s to ${seconds(to).toFixed(2)} s`;
  return {start: seconds(from), end: seconds(to)};
};
element.addEventListener("input", ({target}) => {
  const box = target.closest(".timeline");
  if (!box) return;
  held = target.className;
  clearTimeout(timer);
  shown(box);
});
element.addEventListener("change", ({target}) => {  // a key was pressed or the pointer released
  const box = target.closest(".timeline");
  if (!box) return;
  clearTimeout(timer);
  timer = setTimeout(() => trigger("input", shown(box)), 450);
});
watch("value", () => {
  if (held && document.activeElement === document.body)
    element.querySelector(`.timeline .${held}`)?.focus({preventScroll: true});
});
