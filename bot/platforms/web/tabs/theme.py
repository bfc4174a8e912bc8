"""How Gradio's parts look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.themes import Base as Theme

_LEAF = (
    *("#f4f8ee", "#e6f0d8", "#cde1b3", "#adcc85", "#8bb558", "#5f9130", "#4b7a22", "#3c611c", "#314d1a"),
    *("#294018", "#14230a"),
)
"""Fennel's green, from the lightest to the darkest."""


def theme() -> Theme:
    """Fennel's colours, and fonts of the reader's own machine: none is fetched."""
    import gradio

    fonts = ["system-ui", "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif"]
    steps = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950)
    leaf = gradio.themes.Color(**{f"c{step}": shade for step, shade in zip(steps, _LEAF, strict=True)}, name="leaf")
    made: Theme = gradio.themes.Base(
        primary_hue=leaf,
        neutral_hue=gradio.themes.colors.stone,
        radius_size=gradio.themes.sizes.radius_md,
        font=fonts,
        font_mono=["ui-monospace", "Menlo", "monospace"],
    ).set(
        body_background_fill="#f7f7f3",
        body_background_fill_dark="#161813",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color_dark="#15190f",
    )
    return made
