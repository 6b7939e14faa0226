// Two handles on the timeline. While one moves only the page changes; once it rests, the server looks
// at the new part. The handle that had the focus has it again afterwards, so that keys go on to move
// it.
let timer, held;
const shown = (box) => {
  const [from, to] = box.querySelectorAll("input");
  const seconds = (handle) => handle.value / box.dataset.fps;
  if (Number(from.value) >= Number(to.value)) {  // at least a frame lies between them
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
element.addEventListener("change", ({target}) => {  // a key, or the pointer has let go
  const box = target.closest(".timeline");
  if (!box) return;
  clearTimeout(timer);
  timer = setTimeout(() => trigger("input", shown(box)), 450);
});
watch("value", () => {
  if (held && document.activeElement === document.body)
    element.querySelector(`.timeline .${held}`)?.focus({preventScroll: true});
});
