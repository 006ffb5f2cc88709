"""Allergies in the patient banner: the first few as chips, the gravest first, the rest counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 4


@dataclass(frozen=True, slots=True)
class BannerAllergy:
    """One chip. `high` is False for what is recorded as of low risk."""

    text: str
    high: bool
    intolerance: bool


def banner_allergies(lines: Sequence[BannerAllergy]) -> tuple[list[BannerAllergy], int]:
    """The chips to show and how many more there are."""
    ordered = sorted(lines, key=lambda line: (not line.high, line.text))
    return ordered[:SHOWN], max(len(ordered) - SHOWN, 0)
