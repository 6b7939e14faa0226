// Only the button deletes, not the text around it.
element.addEventListener("click", ({target}) => {
  if (target.closest("button")) trigger("click", {});
});
