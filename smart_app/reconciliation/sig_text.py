"""Written medication instructions -> Sig: common English and Latin abbreviations (domain 3.2).

Every word has to be accounted for. What is left over makes the sig `complex`; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from smart_app.reconciliation.records import Amount, Sig
from smart_app.reconciliation.schedule import read_schedule
from smart_app.reconciliation.sig_words import number, plain_words
from smart_app.reconciliation.vocabulary import WEEK, phrases
from terminology.units import canonical_unit

NOT_UNDERSTOOD = "not understood"
_LONGEST = 1000
"""Characters of an instruction that is still one; a letter pasted into the field is not read."""

_HOURS = {"hour": 1, "hours": 1, "hr": 1, "hrs": 1, "h": 1}
_DAYS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "wk": 7, "month": 30, "months": 30}


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    amounts: list[Amount] = field(default_factory=list)
    high: Amount | None = None
    rates: list[Fraction] = field(default_factory=list)
    moments: list[set[str]] = field(default_factory=list)
    """Each with the phrases that name it: "every morning before breakfast" is one moment."""
    moment_ended: int = -1
    """Index after the last of those phrases."""
    meals: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    times: set[str] = field(default_factory=set)
    routes: set[str] = field(default_factory=set)
    as_needed: bool = False
    as_needed_for: str | None = None
    duration: Fraction | None = None
    complex: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


@lru_cache(maxsize=4096)
def parse_sig(text: str) -> Sig:
    """Read one written instruction; an empty one is simply unknown, one of several steps has `steps`."""
    if len(text) > _LONGEST:
        return Sig(text=text, complex=(NOT_UNDERSTOOD,))
    sig = _parse(text)
    if sig.complex and (found := read_schedule(text, _parse)):
        kind, steps = found
        return Sig(text=text, steps=steps, route=sig.route, complex=(kind,))
    return sig


def _parse(text: str) -> Sig:
    words, times = plain_words(text)
    reading = _Reading(times=times)
    index = 0
    while index < len(words):
        index = _step(words, index, reading)
    return _sig(text, reading)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _step(words: list[str], index: int, reading: _Reading) -> int:
    """Read one phrase at `index`; returns where the next begins."""
    for reader in (_every, _times, _duration, _amount, _phrase):
        if after := reader(words, index, reading):
            return after
    if words[index] not in "-/:(),;":
        reading.unread.append(words[index])
    return index + 1


def _at(words: list[str], index: int) -> str:
    return words[index] if index < len(words) else ""


def _every(words: list[str], index: int, reading: _Reading) -> int:
    """`every 6 hours`, `q6h`, `q 4-6 h`, `every 3 days`."""
    word = words[index]
    if word not in ("every", "q"):
        return 0
    count = number(_at(words, index + 1))
    if count is None or count == 0:
        return 0
    after = index + 2
    if _at(words, after) in ("-", "to") and number(_at(words, after + 1)) is not None:
        reading.complex.append("a range of intervals")
        after += 2
    unit = _at(words, after)
    if unit in _HOURS:
        reading.rates.append(Fraction(24) / count)
    elif unit in _DAYS or unit == "d":
        reading.rates.append(Fraction(1) / (count * _DAYS.get(unit, 1)))
    else:
        return 0
    return after + 1


def _times(words: list[str], index: int, reading: _Reading) -> int:
    """`3 times a day`, `2 times per week`, `3 x daily`."""
    count = number(words[index])
    if count is None or _at(words, index + 1) not in ("times", "time", "x"):
        return 0
    after = index + 2
    if _at(words, after) == "daily":
        days, after = 1, after + 1
    elif _at(words, after) == "weekly":
        days, after = 7, after + 1
    elif _at(words, after) in ("a", "per", "each", "every", "/") and _at(words, after + 1) in _DAYS:
        days, after = _DAYS[words[after + 1]], after + 2
    else:
        return 0
    reading.rates.append(count / days)
    return after


def _duration(words: list[str], index: int, reading: _Reading) -> int:
    """`for 7 days`, `x 10 days`."""
    count = number(_at(words, index + 1))
    if words[index] not in ("for", "x") or count is None:
        return 0
    after = index + 2
    if _at(words, after) == "more":
        after += 1
    if (unit := _at(words, after)) not in _DAYS:
        return 0
    reading.duration = count * _DAYS[unit]
    return after + 1


def _amount(words: list[str], index: int, reading: _Reading) -> int:
    """`2 tablets`, `1-2 puffs`, `500 mg`."""
    count = number(words[index])
    if count is None:
        return 0
    after, high = index + 1, None
    if _at(words, after) in ("-", "to", "or"):
        high = number(_at(words, after + 1))
        after += 2 if high is not None else 0
    if (unit := canonical_unit(_at(words, after))) is None or _at(words, after) in ("1", ""):
        return _bare_count(words, index, reading) if high is None else 0
    reading.amounts.append(Amount(_decimal(count * unit.factor), unit.unit))
    if high is not None:
        reading.high = Amount(_decimal(high * unit.factor), unit.unit)
        reading.complex.append("a range of doses")
    return after + 1


def _bare_count(words: list[str], index: int, reading: _Reading) -> int:
    """`1 po bid`, `take 1 daily`: what is counted only the product tells. `2 daily` may be twice one."""
    following = phrases().get(_at(words, index + 1), ())
    kinds = {p.kind for p in following if tuple(words[index + 1 : index + 1 + len(p.words)]) == p.words}
    first = index == 0 or words[index - 1] in ("take", "give", "chew", "swallow")
    if not first or not ("route" in kinds or (kinds & {"rate", "when"} and words[index] == "1")):
        return 0
    reading.amounts.append(Amount(_decimal(Fraction(words[index])), "1"))
    return index + 1


def _phrase(words: list[str], index: int, reading: _Reading) -> int:
    for phrase in phrases().get(words[index], ()):
        after = index + len(phrase.words)
        if tuple(words[index:after]) == phrase.words:
            break
    else:
        return 0
    match phrase.kind:
        case "rate":
            reading.rates.append(Fraction(phrase.value))
        case "when":
            _moment(phrase.value, words, index, reading)
            while _at(words, after) == "and" and _at(words, after + 1) in _SHORT_WHEN:
                reading.moments.append({_SHORT_WHEN[words[after + 1]]})
                after += 2
            reading.moment_ended = after
        case "meal":
            reading.meals.add(phrase.value)
        case "day":
            reading.days.add(phrase.value)
            last = phrase.value
            while (following := _next_day(words, after)) is not None:
                if _at(words, following - 1) in ("-", "to", "through"):
                    reading.days.update(_days_between(last, words[following][:3]))
                last = words[following][:3]
                reading.days.add(last)
                after = following + 1
        case "route":
            reading.routes.add(phrase.value)
        case "complex":
            reading.complex.append(phrase.value)
        case "limit":
            reading.complex.append(phrase.value)
            return len(words)
        case "prn":
            reading.as_needed = True
            start = after + 1 if _at(words, after) == "for" else after
            if start > after and number(_at(words, start)) is None:
                after = next((i for i in range(start, len(words)) if _ends_reason(words, i)), len(words))
            else:
                start = after
                while after < len(words) and words[after].isalpha() and words[after] not in phrases():
                    after += 1
            reading.as_needed_for = " ".join(words[start:after]) or None
    return after


def _moment(code: str, words: list[str], index: int, reading: _Reading) -> None:
    """Another moment of the day, or a second name of the last one."""
    last = reading.moments[-1] if reading.moments else set()
    if last and (index == reading.moment_ended or any({code, named} in _ONE_MOMENT for named in last)):
        last.add(code)
        return
    if last and words[index - 1] not in ("and", ",", "/", ";"):
        reading.complex.append("several times of day")
    reading.moments.append({code})


_WITHIN = {
    "HS": "NIGHT",
    **{f"{relation}{meal}": time for time, meal in (("MORN", "M"), ("NOON", "D"), ("EVE", "V"))
       for relation in ("AC", "C", "PC")},
}  # fmt: skip
"""A moment and the less precise time of day that it lies in: breakfast is in the morning."""
_ONE_MOMENT = tuple({precise, rough} for precise, rough in _WITHIN.items())


def _ends_reason(words: list[str], index: int) -> bool:
    """Whether the reason after `as needed for` is over: a stop, a number, or a phrase that says something."""
    if words[index] in ",;(" or number(words[index]) is not None:
        return True
    return any(
        tuple(words[index : index + len(phrase.words)]) == phrase.words and phrase.kind != "noise"
        for phrase in phrases().get(words[index], ())
    )


def _next_day(words: list[str], index: int) -> int | None:
    """Where the next day of an enumeration stands: `, Wednesday and Friday`, `/Wed/Fri`, `- Fri`."""
    if _at(words, index) in ("-", "to", "through"):
        index += 1
    else:
        while _at(words, index) in (",", "/", "and", "on"):
            index += 1
    return index if any(p.kind == "day" for p in phrases().get(_at(words, index), ())) else None


def _days_between(first: str, last: str) -> list[str]:
    """`mon` to `fri`, over the end of the week if need be."""
    start, length = WEEK.index(first), (WEEK.index(last) - WEEK.index(first)) % 7
    return [WEEK[(start + day) % 7] for day in range(length)]


_SHORT_WHEN = {"evening": "EVE", "afternoon": "AFT", "bedtime": "HS", "night": "NIGHT", "noon": "NOON"}


def _sig(text: str, reading: _Reading) -> Sig:
    complex_for = list(reading.complex)
    if len(set(reading.rates)) > 1:
        complex_for.append("two frequencies")
    if len(reading.routes) > 1:
        complex_for.append("two routes")
    by_unit = dict.fromkeys(amount.unit for amount in reading.amounts)
    if len(reading.amounts) > 2 or len(by_unit) < len(reading.amounts):
        complex_for.append("several doses")
    if reading.unread:
        complex_for.append(NOT_UNDERSTOOD)
    when = {code for codes in reading.moments for code in codes - {_WITHIN.get(code) for code in codes}}
    moments = max(len(reading.moments), len(reading.times))
    per_day = reading.rates[0] if len(set(reading.rates)) == 1 else None
    if not reading.rates and moments:
        # "every morning at 8 am" is one moment; whether a morning and two times are three, nobody says.
        if reading.moments and reading.times and (len(reading.moments), len(reading.times)) != (1, 1):
            complex_for.append("several times of day")
        per_day = Fraction(moments)
    elif moments > 1 and per_day != moments and not reading.days:
        complex_for.append("frequency and times of day disagree")
    if reading.days:
        weekly = Fraction(len(reading.days), 7) * max(moments, 1)
        stated = per_day is None or per_day in (1, Fraction(len(reading.days), 7), moments)
        per_day = weekly if stated else None
        if not stated:
            complex_for.append("days and frequency disagree")
    return Sig(
        text=text,
        dose=reading.amounts[0] if reading.amounts else None,
        dose_again=reading.amounts[1] if len(reading.amounts) > 1 else None,
        dose_high=reading.high,
        per_day=per_day,
        when=tuple(sorted(when | reading.meals | reading.days | reading.times)),
        as_needed=reading.as_needed,
        as_needed_for=reading.as_needed_for,
        duration_days=reading.duration,
        route=min(reading.routes) if len(reading.routes) == 1 else None,
        complex=tuple(dict.fromkeys(complex_for)),
    )
