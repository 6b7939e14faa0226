"""The viewer of the mesh that moves, with a switch between its texture and its triangles."""

from __future__ import annotations

import gradio as gr


def build() -> tuple[gr.Model3D, gr.Model3D, gr.Checkbox]:
    """A viewer that plays the animation of a glb, one that shows its triangles, and the switch
    between them. All are hidden at first: Model3D stays blank if it is mounted with its mesh."""
    options = {"label": "The mesh that moves", "height": 320, "interactive": False}
    with gr.Column(min_width=280):
        solid = gr.Model3D(elem_id="moving", visible="hidden", **options)
        # A viewer reads its mode once, when it is mounted.
        lines = gr.Model3D(
            elem_id="moving_lines", visible="hidden", display_mode="wireframe", **options
        )
        switch = gr.Checkbox(
            label="Show the triangles", elem_id="wireframe", visible="hidden", container=False
        )
    switch.input(
        _switched, [switch, solid], [solid, lines], api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    return solid, lines, switch


def _switched(on: bool, file: str) -> tuple[dict, dict]:
    """Updates that show the triangles of a file, or its texture."""
    solid = gr.update(visible="hidden" if on else True)
    return solid, gr.update(value=file if on else None, visible=True if on else "hidden")
