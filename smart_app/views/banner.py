"""Allergies in the patient banner: the first few as chips, the gravest first, the rest counted."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext

from smart_app.view_records import AllergyLine, Banner

SHOWN = 4


@dataclass(frozen=True, slots=True)
class AllergyChip:
    """One chip: `label` says what kind it is, `tone` how grave (high, mod)."""

    label: str
    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class BannerAllergies:
    """`read` is False where the chart could not be asked."""

    chips: tuple[AllergyChip, ...]
    more: int
    read: bool


def banner_allergies(banner: Banner) -> BannerAllergies:
    """The chips of a banner and how many there are besides."""
    lines = sorted(banner.allergies or (), key=lambda line: (line.criticality == "low", line.name))
    return BannerAllergies(
        chips=tuple(_chip(line) for line in lines[:SHOWN]),
        more=max(len(lines) - SHOWN, 0),
        read=banner.allergies is not None,
    )


def _chip(line: AllergyLine) -> AllergyChip:
    return AllergyChip(
        label=gettext("Intolerance") if line.kind == "intolerance" else gettext("Allergy"),
        text=f"{line.name}: {', '.join(line.reactions)}" if line.reactions else line.name,
        tone="mod" if line.criticality == "low" else "high",
    )
