// Clicking a draft picks it.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.draft");
  if (!button) return;
  for (const other of element.querySelectorAll("button.draft"))
    other.setAttribute("aria-pressed", other === button);
  trigger("submit", {name: button.dataset.name});
});
