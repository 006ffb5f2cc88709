"""Values as a search writes them: what a resource holds, or something near it, in all the forms of its type."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context
from fractions import Fraction
from math import isinf
from random import Random

from search_oracle.charts import TYPES
from search_oracle.clauses import PARTS
from search_oracle.definitions import Parameter
from search_oracle.evaluator import Held
from search_oracle.makers import BASE, CITIES, DAYS, DISPLAYS, IDS, MOMENTS, NAMES, NUMBERS, URIS
from search_oracle.terminology import HIERARCHIES, R4_VALUE_SETS, included, members
from search_oracle.units import UCUM, UNITS, Number, converted
from search_oracle.values import Token, Values

# Numbers are compared as doubles: nobody tells two apart that differ further behind.
_DOUBLE = Context(prec=15)
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def escaped(text: str) -> str:
    r"""A value's own `\`, `,`, `|` and `$` written so that they are not separators."""
    return "".join("\\" + character if character in "\\,|$" else character for character in text)


def decimal_text(value: Number) -> str:
    """A number of twelve digits, that it may be a little off."""
    text = f"{float(value):.12g}"
    return text if "e" not in text else f"{float(value):.18f}"


class Wording:
    """Writes values, mostly of what is held."""

    def __init__(self, random: Random, held: Sequence[Held]) -> None:
        self.random, self.held = random, held

    def own(self, parameter: Parameter, about: Held | None) -> Values:
        """The values of the resource, if it is of the parameter's type."""
        same = about is not None and about.key[0] == parameter.resource_type
        return about.values(parameter) if same else Values()

    def some(self, parameter: Parameter, about: Held | None) -> Values:
        """The values of the resource, or of some other that has any."""
        own = self.own(parameter, about)
        if own.present and self.random.random() < 0.8:
            return own
        held = [one for one in self.held if one.key[0] == parameter.resource_type]
        found = [values for one in held if (values := one.values(parameter)).present]
        return self.random.choice(found) if found else Values()

    def value(self, parameter: Parameter, modifier: str, about: Held | None) -> str:
        if modifier == "text":
            texts = self.own(parameter, about).texts or DISPLAYS
            return escaped(self.part(self.random.choice(texts)))
        if modifier in ("in", "not-in"):
            return self.value_set(self.own(parameter, about))
        if modifier in ("above", "below") and parameter.type in ("token", "reference"):
            return self.related(parameter, self.own(parameter, about))
        if modifier == "identifier":
            logical = [link.identifier for link in self.some(parameter, about).links if link.identifier]
            return self.token_text(self.random.choice(logical) if logical else Token("urn:example:x", "1"))
        if parameter.type == "composite":
            return self.composite(parameter, self.some(parameter, about).groups)
        return self.text(parameter, modifier, self.some(parameter, about), about)

    def value_set(self, values: Values) -> str:
        """One that is stored, or one of R4's; mostly one that has a code of the values."""
        found = self.sets_of(values)
        if found and self.random.random() < 0.8:
            return self.random.choice(found)
        stored = ["/".join(held.key) for held in self.held if held.key[0] == "ValueSet"]
        return self.random.choice([*stored, *R4_VALUE_SETS])

    def sets_of(self, values: Values) -> list[str]:
        """The value sets that have a code of the values."""
        codes = {(token.system, token.code) for token in values.tokens if token.system}
        stored = [held for held in self.held if held.key[0] == "ValueSet"]
        found = ["/".join(held.key) for held in stored if any(included(held.resource, *code) for code in codes)]
        return found + [url for url in R4_VALUE_SETS if members(url) & codes]

    def related(self, parameter: Parameter, values: Values) -> str:
        """What something is above or below of: a code, a resource with parts, or a canonical."""
        if parameter.type == "token":
            systems = sorted({token.system for token in values.tokens if token.system in HIERARCHIES})
            system = self.random.choice(systems)
            return f"{system}|{self.random.choice(sorted(HIERARCHIES[system]))}"
        keys = [link.key for link in values.links if link.key is not None and link.key[0] in PARTS]
        if keys:
            kind, id = self.random.choice(keys)
            return f"{kind}/{self.random.choice((id, *IDS))}"
        return self.random.choice(
            ("http://example.org/plan", "http://example.org/plan|2", "http://example.org/plan|1")
        )

    def composite(self, parameter: Parameter, groups: Sequence[Sequence[Values]]) -> str:
        """A value for each component, mostly of one element's own."""
        whole = [group for group in groups if all(part.present for part in group)] or groups
        group = self.random.choice(whole) if whole else [Values() for _ in parameter.components]
        if whole and self.random.random() < 0.2:
            group = [self.random.choice(whole)[at] for at in range(len(group))]
        parts = zip(parameter.components, group, strict=True)
        texts = [self.text(part.parameter, "", values, None) for part, values in parts]
        # Beside another value only a code of a system is asked for, not all of it.
        whole = re.compile(r"(.*[^\\])?\|")
        return "$".join(text + "a" if whole.fullmatch(text) else text for text in texts)

    def text(self, parameter: Parameter, modifier: str, values: Values, about: Held | None) -> str:
        if modifier == "of-type":
            return self.of_type_text(values)
        match parameter.type:
            case "token" if parameter.code == "_id":
                return self.random.choice((*IDS, "none", about.key[1] if about else "none"))
            case "token":
                codes = values.tokens or (Token("", "true"), Token("", "false"))  # codes of any kind
                return self.token_text(self.random.choice(codes))
            case "string":
                words = values.strings or (*NAMES, *DISPLAYS, *CITIES)
                word = self.random.choice(words)
                return escaped(word if modifier == "exact" else self.part(word))
            case "uri":
                uris = (*values.uris, *values.uris, *URIS, "http://example.org", "http://example.org/a/")
                return escaped(self.random.choice(uris))
            case "reference":
                return self.reference(parameter, modifier, values)
            case "date":
                return self.prefixed(self.date(parameter, values))
            case "number":
                return self.prefixed(self.number())
            case _:
                return self.quantity(values)

    def token_text(self, code: Token) -> str:
        symbol = code.code or ""
        if code.any_case and self.random.random() < 0.5:
            symbol = symbol.swapcase()
        form = self.random.random()
        if form < 0.45 and symbol:
            return escaped(symbol)
        if form < 0.6 and code.system:
            return escaped(code.system) + "|"
        if form < 0.65 and symbol:
            return "|" + escaped(symbol)
        return f"{escaped(code.system)}|{escaped(symbol)}" if symbol or code.system else "a"

    def of_type_text(self, values: Values) -> str:
        typed = [
            (kind, token.code) for token in values.tokens for kind in token.kinds if token.code and kind[0]
        ]
        if not typed:
            return "urn:example:x|a|1"
        (system, code), value = self.random.choice(typed)
        return "|".join(escaped(part) for part in (system, code, value))

    def reference(self, parameter: Parameter, modifier: str, values: Values) -> str:
        keys = [link.key for link in values.links if link.key]
        urls = [link.url for link in values.links if link.url and not link.key]
        kinds = (
            [modifier] if modifier else [kind for kind in TYPES if parameter.may_target(kind)] or ["Patient"]
        )
        kind, id = self.random.choice(keys) if keys else (self.random.choice(kinds), self.random.choice(IDS))
        if modifier and kind != modifier:
            kind = modifier
        form = self.random.random()
        if urls and not keys and form < 0.7:
            return escaped(self.random.choice(urls))
        return self.random.choice((id, f"{kind}/{id}", f"{kind}/{id}", f"{BASE}{kind}/{id}"))

    def part(self, text: str) -> str:
        """The text, or less of it, with or without case and accents."""
        start = self.random.choice((0, 0, 0, 1, 2))
        cut = text[start : start + self.random.choice((1, 2, 3, 5, 40))]
        cut = self.random.choice((cut, cut.lower(), cut.upper(), cut.replace("'", "’")))
        return cut if any(map(str.isalnum, cut)) else text

    def prefixed(self, text: str) -> str:
        return self.random.choice(("", "", *PREFIXES)) + text

    def date(self, parameter: Parameter, values: Values) -> str:
        """An end of a range that is held, at some precision; or any date."""
        ends = [end for held in values.dates for end in held if not isinf(end)]
        if ends and self.random.random() < 0.6:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.random.choice(ends))
            written = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return self.random.choice(
                (
                    written,
                    written[:19] + "Z",
                    written[:16] + "Z",
                    written[:10],
                    written[:10],
                    written[:7],
                    written[:4],
                )
            )
        return self.random.choice(
            (*DAYS, *MOMENTS, "2024-02-10T08:00", "2024-02-10T03:00:00", "1990", "1990-05")
        )

    def number(self) -> str:
        return self.random.choice((*NUMBERS, *NUMBERS, "1e2", "1.0e2", "5.4e0", "5.5", "50", "-2.9"))

    def quantity(self, values: Values) -> str:
        number = self.number()
        if values.amounts and self.random.random() < 0.5:
            amount = self.random.choice(values.amounts)
            ends = [end for end in (amount.low, amount.high) if end.is_finite()]
            number = str(_DOUBLE.plus(self.random.choice(ends))) if ends else number
        units: Collection[tuple[str | None, str]] = sorted(
            {unit for amount in values.amounts for unit in amount.units}, key=str
        )
        if not units or self.random.random() < 0.3:
            return self.prefixed(number)
        system, code = self.random.choice(list(units))
        if system == UCUM and code in UNITS and self.random.random() < 0.5:
            like = [
                (own, made) for own in UNITS if (made := converted(Fraction(number), code, own)) is not None
            ]
            code, moved = self.random.choice(like)
            number = decimal_text(moved)
        return self.prefixed(number) + f"|{escaped(system or '')}|{escaped(code)}"
