"""JavaScript of the page as a whole: its address, and where it is scrolled to."""

# On the Hugging Face hub, the page is an iframe in another page, whose address people see and copy.
WRITE_ADDRESS = """(job) => {
  const before = new URLSearchParams(location.search).get("job");
  if (job !== (before ?? "")) {
    const address = job ? `?job=${job}` : location.pathname;
    history[before ? "pushState" : "replaceState"](history.state, "", address);
  }
  if (window.parent !== window)
    window.parent.postMessage({queryString: job ? `job=${job}` : ""}, "https://huggingface.co");
}"""
READ_ADDRESS = """() => {
  addEventListener("popstate", () => location.reload());
  return new URLSearchParams(location.search).get("job") ?? "";
}"""
SCROLL_TO_RESULTS = """() => document.querySelector("#results").scrollIntoView(
  {behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"})"""
SCROLL_TO_RUN = """() => document.querySelector("#run").scrollIntoView({block: "center",
  behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"})"""
