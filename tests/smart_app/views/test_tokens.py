"""Colours: every ink on every ground it is used on, in light and dark (WCAG 2.2 1.4.3, 1.4.11)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

import smart_app

TOKENS = (Path(smart_app.__file__).parent / "static/css/tokens.css").read_text()
TEXT = [
    *itertools.product(("ink", "ink-2", "ink-3"), ("bg", "panel", "sunken", "accent-soft")),
    *((tone, ground) for tone in ("high", "mod", "ok", "info", "diff") for ground in (f"{tone}-soft", "panel")),
    *itertools.product(("accent",), ("panel", "bg", "sunken", "accent-soft", "info-soft", "ok-soft")),
    ("high", "bg"),
    ("high", "sunken"),
    ("accent-ink", "accent"),
    ("strip-ink", "strip"),
]
SHAPES = [
    *itertools.product(("edge-open", "edge-done", "edge-high", "line-strong", "focus"), ("panel",)),
    ("focus", "bg"),
    ("focus", "sunken"),
]


def colours(scheme: str) -> dict[str, str]:
    light, dark = TOKENS.split("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", light))
    return found | (dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {})


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_has_a_contrast_of_four_and_a_half(scheme: str, ink: str, ground: str) -> None:
    found = colours(scheme)
    assert contrast(found[ink], found[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_have_a_contrast_of_three(scheme: str, shape: str, ground: str) -> None:
    found = colours(scheme)
    assert contrast(found[shape], found[ground]) >= 3


def test_both_schemes_define_the_same_colours() -> None:
    dark = TOKENS.split("@media (prefers-color-scheme: dark)")[1]
    assert set(re.findall(r"--([a-z0-9-]+): #", dark)) == set(colours("light"))
