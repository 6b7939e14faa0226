"""A number field that hands on whatever was sent, so that wrong values are refused in words."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ds4d.preflight import ranges


class Number(gr.Number):
    """A gr.Number that rounds finite numbers alone; Gradio's own fails on all other values."""

    is_template = True  # in the browser it is a gr.Number

    def preprocess(self, payload: Any) -> Any:
        """The number, rounded to the field's precision."""
        if ranges.is_number(payload) and ranges.fits(payload, ranges.Range(-1e15, 1e15)):
            return super().preprocess(payload)
        return payload
