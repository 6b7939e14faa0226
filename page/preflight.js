// Two handles on the timeline. While one moves only the page changes; once it rests, the server looks
// at the new part. The handle that had the focus has it again afterwards, so that keys go on to move
// it.
let timer, held;
const shown = (box) => {
  const [from, to] = box.querySelectorAll("input");
  const gap = Number(from.step);
  if (Number(from.value) > Number(to.value) - gap) {
    if (held === "from") from.value = Number(to.value) - gap;
    else to.value = Number(from.value) + gap;
  }
  for (const handle of [from, to])
    handle.setAttribute("aria-valuetext", `${Number(handle.value).toFixed(2)} seconds`);
  box.style.setProperty("--from", from.value / from.max);
  box.style.setProperty("--to", to.value / to.max);
  box.querySelector("output").textContent =
    `${Number(from.value).toFixed(2)} s to ${Number(to.value).toFixed(2)} s`;
  return {start: from.value, end: to.value};
};
element.addEventListener("input", (event) => {
  const box = event.target.closest(".timeline");
  if (!box) return;
  held = event.target.className;
  const part = shown(box);
  clearTimeout(timer);
  timer = setTimeout(() => trigger("input", part), 450);
});
watch("value", () => {
  if (held && document.activeElement === document.body)
    element.querySelector(`.timeline .${held}`)?.focus({preventScroll: true});
});
