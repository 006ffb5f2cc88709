"""What every template can use: translation, dates in the practice's zone, words for codes, navigation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_name
from babel.numbers import format_decimal
from flask import request
from flask.blueprints import BlueprintSetupState
from flask_babel import Babel, get_locale, gettext
from jinja2 import pass_context
from jinja2.runtime import Context

from smart_app.messages import N_
from smart_app.transitions import contact
from smart_app.view_records import Clock
from smart_app.views import dates, words
from smart_app.views.banner import banner_allergies
from smart_app.views.dates import Here, When
from smart_app.views.drug_names import show_drug
from smart_app.views.signed_list import FLAGS

TRANSLATIONS = Path(__file__).parent.parent / "translations"

VIEWS = (
    ("overview", "pages.overview", N_("Overview")),
    ("reconciliation", "pages.reconciliation", N_("Reconcile")),
    ("worklist", "pages.worklist", N_("Worklist")),
)

TABLES: Mapping[str, Mapping[str, str]] = {
    "gender": words.GENDERS,
    "identifier": words.IDENTIFIERS,
    "status": words.STATUSES,
    "criticality": words.CRITICALITIES,
    "verification": words.VERIFICATIONS,
    "encounter": words.ENCOUNTER_CLASSES,
    "medication": words.MEDICATION_KINDS,
    "difference": words.DIFFERENCES,
    "alert": words.ALERTS,
    "severity": words.SEVERITIES,
    "state": words.CARD_STATES,
    "reason_label": words.REASON_LABELS,
    "flag": FLAGS,
}


def install(state: BlueprintSetupState) -> None:
    """Give an app the translations, filters and names that the templates use."""
    app = state.app
    if "babel" not in app.extensions:
        Babel(app, default_translation_directories=str(TRANSLATIONS), locale_selector=_locale)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        day=_day,
        drug=show_drug,
        full_day=_full_day,
        clock=_clock,
        moment=_moment,
        number=_number,
        lower_first=_lower_first,
        zone_name=_zone_name,
    )
    app.jinja_env.globals.update(
        say=_say,
        views=VIEWS,
        banner_allergies=banner_allergies,
        clock_words=_clock_words,
        outcome_label=_outcome_label,
    )
    app.context_processor(_page)


@cache
def languages() -> tuple[str, ...]:
    """The languages there are translations for; English is the source and always there."""
    compiled = TRANSLATIONS.glob("*/LC_MESSAGES/messages.mo")
    return ("en", *sorted(path.parents[1].name.replace("_", "-") for path in compiled))


def _locale() -> str:
    best = request.accept_languages.best_match(languages(), default="en") if request else "en"
    return str(best).replace("-", "_")


def _page() -> dict[str, Any]:
    return {"language": str(get_locale() or "en").replace("_", "-")}


def _say(table: str, code: str) -> str:
    return words.say(TABLES[table], code)


def _here(context: Context) -> Here:
    return Here(ZoneInfo(context["time_zone"]), context["now"])


@pass_context
def _day(context: Context, value: When) -> str:
    return dates.show_day(value, _here(context))


@pass_context
def _full_day(context: Context, value: When) -> str:
    return dates.show_full_day(value, _here(context))


@pass_context
def _clock(context: Context, value: str | datetime | None) -> str:
    return dates.show_time(value, _here(context))


@pass_context
def _moment(context: Context, value: str | datetime | None) -> str:
    return dates.show_moment(value, _here(context))


def _number(value: Decimal | int | float) -> str:
    return str(format_decimal(value, locale=get_locale()))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _zone_name(name: str) -> str:
    """The practice's zone in words, "Eastern Time"."""
    return str(get_timezone_name(ZoneInfo(name), locale=get_locale()))


def _clock_words(clock: Clock) -> str:
    """A time limit in words: "Contact due today"."""
    return str(gettext(clock.words, **clock.values))


def _outcome_label(code: str) -> str:
    """What came of a call, in words; an outcome that is no longer offered as its code."""
    labels = {outcome.code: outcome.label for outcome in contact.outcomes()}
    return str(gettext(labels[code])) if code in labels else code
