"""Evidence beside a line: last fill, who said so, what for. Pure, in words through gettext."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from babel.numbers import format_decimal
from flask_babel import get_locale, gettext, ngettext

from smart_app.reconciliation.records import GroupKind, Item
from smart_app.views.cards import Card
from smart_app.views.dates import Here, show_day


@dataclass(frozen=True, slots=True)
class Chip:
    """`strong` is the part in bold, before `text`."""

    text: str
    strong: str = ""


def evidence_of(card: Card, here: Here, *, fills_known: bool) -> tuple[Chip, ...]:
    """The chips of a line: its last fill, who asserted it, what it is for.

    fills_known: whether there is any fill at all; without, "not filled" would be a guess.
    """
    chips: list[Chip] = []
    fills = sorted(card.group.evidence, key=_fill_date, reverse=True)
    if fills:
        chips.append(_fill(fills[0], here))
        if len(fills) > 1:
            chips.append(Chip(ngettext("%(num)d earlier fill", "%(num)d earlier fills", len(fills) - 1)))
    elif fills_known and card.group.kind is GroupKind.ONLY_AFTER:
        chips.append(Chip(gettext("no fill seen")))
    chips += [Chip(text) for text in _unique(item.source.asserter for item in card.items)]
    chips += [
        Chip(gettext("for %(what)s", what=text)) for text in _unique(item.indication for item in card.items)
    ]
    return tuple(chips)


def _fill_date(fill: Item) -> str:
    return fill.start or fill.source.date or ""


def _fill(fill: Item, here: Here) -> Chip:
    day = show_day(_fill_date(fill), here)
    strong = gettext("filled %(day)s", day=day) if day else gettext("filled, no date")
    if fill.days_supply is None:
        return Chip("", strong)
    number = format_decimal(fill.days_supply, locale=get_locale())
    return Chip(gettext("for %(num)s days", num=number), strong)


def _unique(texts: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
