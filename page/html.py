"""The texts and pictures around a run: header, examples, notices, footer."""

from __future__ import annotations

import html
import json
from pathlib import Path

from .files import served
from .limits import LIMITS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def notice(
    sentence: str, hint: str, kind: str = "info", link: tuple[str, str] | None = None
) -> str:
    """One sentence and what to do about it; a link is its address and its words."""
    address = f' <a href="{html.escape(link[0])}">{html.escape(link[1])}</a>' if link else ""
    return (
        f'<div class="notice is-{kind}" role="status"><strong>{html.escape(sentence)}</strong> '
        f"{html.escape(hint)}{address}</div>"
    )


def headline(title: str, text: str) -> str:
    """What stands above a result: its name, and who made it."""
    return f'<div class="head"><h2>{html.escape(title)}</h2><p>{html.escape(text)}</p></div>'


def moving_picture(path: Path, label: str, plays: bool = True) -> str:
    """A clip as the browser shows it by itself, without any conversion."""
    if path.suffix.lower() in (".gif", ".webp"):
        return f'<img src="{served(path)}" alt="{html.escape(label)}">'
    return (
        f'<video src="{served(path)}" aria-label="{html.escape(label)}" loop muted playsinline '
        f"{'autoplay' if plays else ''}></video>"
    )


def clip_preview(clip: str | None) -> str:
    if clip is None:
        return ""
    cannot = "This browser cannot show the clip."
    return f'<div class="clip">{moving_picture(Path(clip), "Your clip")}<p>{cannot}</p></div>'


def example_names() -> list[str]:
    """The bundled examples that have a bundled result."""
    return sorted(path.parent.name for path in EXAMPLES.glob("results/*/run.json"))


def example_clip(name: str) -> Path:
    return next((EXAMPLES / "clips").glob(f"{name}.*"))


def preset_of(run: Path) -> str:
    return json.loads((run / "run.json").read_text())["config"]["preset"]


def title_of(name: str) -> str:
    return name.replace("_", " ").capitalize()


def example_cards() -> str:
    """One button per example: the result turning, with the clip it was made from in its corner."""
    cards = ""
    for name in example_names():
        title = title_of(name)
        orbit = EXAMPLES / "results" / name / "videos/orbit.mp4"
        cards += (
            f'<button class="example" data-name="{name}" aria-label="Show the example {title}">'
            f"{moving_picture(orbit, title)}"
            f'<span class="inset">{moving_picture(example_clip(name), "the clip", False)}</span>'
            f"<b>{title}</b></button>"
        )
    return f'<div class="examples">{cards}</div>'


WELCOME = """<section class="welcome"><h2>What makes a good clip</h2><ul>
<li><b>One object</b>, whole and inside the frame all the time</li>
<li><b>A still camera</b> and a plain background, or transparency</li>
<li><b>One to five seconds</b> in which it moves</li></ul>
<p>You get six videos, a Gaussian splat for every frame, a mesh, and the 4D asset itself.</p>
</section>"""
FOOTER = f"""<footer class="small"><p>Your clip and its results stay on this machine for
{LIMITS.keep_hours:g} hours after their last use, then they are deleted. Only who has the address of
a run sees it.</p><p>The code is Apache-2.0. The embedded engines need no weights. Where pretrained
engines are used, their weights have their own licences: those of Zero123++ are CC-BY-NC 4.0, so
what they help to make is for non-commercial use.</p></footer>"""
FORGET = f"""<details class="forget"><summary>Delete this run now</summary>
<p>Its clip, settings and results are gone at once and for good, and its address leads nowhere. The
copies that were made to show them here follow within {LIMITS.keep_hours:g} hours.</p>
<button type="button">Delete it for good</button></details>"""
PICK_FORGET = """
element.addEventListener("click", ({target}) => {
  if (target.closest("button")) trigger("click", {});
});
"""
PICK_EXAMPLE = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.example");
  if (button) trigger("click", {name: button.dataset.name});
});
"""
NO_PREVIEW = """
element.addEventListener("error", (event) => {
  event.target.closest(".clip")?.classList.add("unplayable");
}, true);
"""
SHOW_RESULTS = """() => document.querySelector("#results").scrollIntoView(
  {behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"})"""
