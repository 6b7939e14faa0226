// A clip that the browser cannot play is replaced by a sentence.
element.addEventListener("error", (event) => {
  event.target.closest(".clip")?.classList.add("unplayable");
}, true);
