// Clicking an example reports its name.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.example");
  if (button) trigger("click", {name: button.dataset.name});
});
