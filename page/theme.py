"""The theme of Gradio's components; the styles of the page's own HTML are in style.css."""

from __future__ import annotations

import gradio as gr

CORAL = gr.themes.Color(
    "#fff3ee", "#ffe1d5", "#ffc3ac", "#ff9f7c", "#fb7d52", "#ef5f2f",
    "#d64a1c", "#b03a15", "#8d3116", "#732b16", "#3f1408",
)  # fmt: skip
THEME = gr.themes.Base(
    primary_hue=CORAL,
    neutral_hue="stone",
    radius_size="lg",
    font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
    font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
).set(
    body_background_fill="#faf8f4", body_background_fill_dark="#12141a",
    body_text_color="#1b1e28", body_text_color_dark="#ecebe7",
    body_text_color_subdued="#646a78", body_text_color_subdued_dark="#a2a5ae",
    block_background_fill="#ffffff", block_background_fill_dark="#1b1e26",
    block_label_background_fill="#ffffff", block_label_background_fill_dark="#1b1e26",
    block_label_text_color="#4c515e", block_label_text_color_dark="#b9bcc4",
    block_label_border_width="0px", block_label_shadow="none",
    block_title_text_weight="600", block_info_text_color="#646a78",
    block_info_text_color_dark="#a2a5ae", block_shadow="none", block_shadow_dark="none",
    background_fill_secondary="#f3f0ea", background_fill_secondary_dark="#1b1e26",
    border_color_primary="#e5e1d8", border_color_primary_dark="#30343e",
    border_color_accent="#e4562a", border_color_accent_dark="#ff7a4d",
    block_radius="16px", block_border_width="1px", button_large_radius="14px",
    input_background_fill="#f7f5f0", input_background_fill_dark="#12141a",
    input_border_color="#e5e1d8", input_border_color_dark="#30343e",
    input_border_color_focus="#e4562a", input_border_color_focus_dark="#ff7a4d",
    checkbox_label_background_fill="#ffffff", checkbox_label_background_fill_dark="#1b1e26",
    checkbox_label_background_fill_hover="#f7f5f0",
    checkbox_label_background_fill_hover_dark="#262a34",
    checkbox_label_background_fill_selected="#fdeee7",
    checkbox_label_background_fill_selected_dark="#33221c",
    checkbox_label_border_width="1px", checkbox_label_text_weight="400",
    button_secondary_background_fill="#ece8df", button_secondary_background_fill_dark="#262a34",
    button_secondary_background_fill_hover="#e2ddd1",
    button_secondary_background_fill_hover_dark="#30343e",
    button_primary_background_fill="#d64a1c", button_primary_background_fill_dark="#e4562a",
    button_primary_background_fill_hover="#bc3f16",
    button_primary_background_fill_hover_dark="#ff7a4d",
    button_primary_text_color="#ffffff", button_primary_text_color_dark="#ffffff",
)  # fmt: skip
