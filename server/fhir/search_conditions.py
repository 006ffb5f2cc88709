"""The name of a search parameter, with its modifier, chain or `_has`, and its values: one condition.

Source: hl7.org/fhir/R4/search.html#modifiers, #chaining, #has, #list
"""

from __future__ import annotations

import re

from server.errors import FhirError
from server.fhir.custom_parameters import Known
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_modifiers import modifiers, read_modified
from server.fhir.search_parameters import all_answered, answered
from server.fhir.search_parameters import parameter as known_parameter
from server.fhir.search_query import Chained, Clause, Condition, Has, SearchParameter
from server.fhir.search_values import BadValue, Reading, split
from server.fhir.unstored import UNSTORED

# How many values one parameter may have: an OR of more is a job for several searches.
VALUES_MAXIMUM = 1_000
# How many links a chain may have, those of `_has` among them.
LINKS_MAXIMUM = 8
# How many steps a chain may have in all its branches: where a link names no type, there is one for each. A step
# is a link, or the parameter at the end.
STEPS_MAXIMUM = 200
_COMPARISONS_MAXIMUM = 20_000  # of values, at all ends
# Names that are parameters of every type and in no registry.
_EVERYWHERE = frozenset({"_has", "_list"})

_PRINTABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}(?:[:.][A-Za-z0-9_\-]{1,64}){0,24}")
_PART_END = re.compile(r"[:.]")


def refusal(kind: str, name: str, diagnostics: str) -> FhirError:
    """An error about a search parameter, located as R4 asks: `http.name`."""
    code = name.partition(":")[0].partition(".")[0]
    code = code if _PRINTABLE_NAME.fullmatch(code) else ""
    shown = name if _PRINTABLE_NAME.fullmatch(name) else code
    lead = f"Search parameter {shown}: " if shown else "Search parameter: "
    return FhirError(kind, lead + diagnostics, f"http.{code}" if code else "")


def unknown(resource_type: str, name: str, known: Known) -> FhirError:
    """The error for a parameter that this server does not answer, with those it does."""
    code = name.partition(":")[0].partition(".")[0]
    valid = ", ".join(all_answered(resource_type, known))
    if known_parameter(resource_type, code) is not None:
        return refusal(
            "unsupported-search", name, f"not supported by this server. {resource_type} has: {valid}"
        )
    return refusal("unsupported-search", name, f"unknown. {resource_type} has: {valid}")


def is_known(resource_type: str, name: str, known: Known) -> bool:
    """Whether the parameter that a name begins with is one this server answers for the type."""
    code = _PART_END.split(name, maxsplit=1)[0]
    return code in _EVERYWHERE or answered(resource_type, code, known) is not None


def read_condition(resource_type: str, name: str, text: str, reading: Reading) -> Condition:
    """The condition `name=text` on resources of a type.

    Raises: FhirError("unsupported-search", "invalid-search" or "too-costly").
    """
    values = split(text, ",")
    if len(values) > VALUES_MAXIMUM:
        raise refusal("too-costly", name, f"more than {VALUES_MAXIMUM} values")
    return _Chain(name, values, reading).read(resource_type, name, 0)


def steps(condition: Condition, links: int = 0) -> int:
    """How many steps a condition has in all its branches. links: that lead to it."""
    if isinstance(condition, Chained):
        return sum(steps(inner, links + 1) for _, inner in condition.targets)
    if isinstance(condition, Has):
        return steps(condition.condition, links + 1)
    return links + 1


class _Chain:
    """Reads one `name=text`, part after part. written: the whole name, for errors.

    Its steps are counted while it branches: a link that names no type asks all its targets, and the next link
    all targets of each.
    """

    def __init__(self, written: str, values: list[str], reading: Reading) -> None:
        self._written = written
        self._values = values
        self._reading = reading
        self._parts = self._steps = 0

    def read(self, resource_type: str, name: str, links: int) -> Condition:
        """What is left of the name, as a condition on a type. links: how many were followed to get there."""
        if links > LINKS_MAXIMUM:
            raise refusal("too-costly", self._written, f"more than {LINKS_MAXIMUM} links")
        self._count(1, 0)
        if name.startswith("_has:") or name == "_has":
            return self._has(resource_type, name, links)
        link, dot, rest = name.partition(".")
        if dot:
            return self._chained(resource_type, link, rest, links)
        if name.partition(":")[0] == "_list":
            return self._list(name)
        self._count(0, links + 1)
        return self._clause(resource_type, name)

    def _chained(self, resource_type: str, link: str, rest: str, links: int) -> Chained:
        code, colon, wanted = link.partition(":")
        parameter = self._link(resource_type, code)
        if colon:
            if wanted not in parameter.targets:
                targets = ", ".join(parameter.targets)
                raise refusal("invalid-search", self._written, f"{code} refers to {targets}")
            self._refuse_unstored(wanted)
            return Chained(parameter, ((wanted, self.read(wanted, rest, links + 1)),))
        knowing = [
            target
            for target in parameter.targets
            if target not in UNSTORED and is_known(target, rest, self._reading.known)
        ]
        if not knowing:
            raise refusal(
                "unsupported-search",
                self._written,
                f"no resource that {code} refers to has such a parameter",
            )
        found: list[tuple[str, Condition]] = []
        error: FhirError | None = None
        for target in knowing:
            # A parameter of the same code may be of another type on another target, and the value impossible.
            try:
                found.append((target, self.read(target, rest, links + 1)))
            except FhirError as refused:
                if refused.kind == "too-costly":
                    raise
                error = error or refused
        if not found and error is not None:
            raise error
        return Chained(parameter, tuple(found))

    def _has(self, resource_type: str, name: str, links: int) -> Has:
        parts = name.split(":", 3)
        if len(parts) != 4 or not all(parts):
            raise refusal("invalid-search", self._written, "_has:Type:reference:parameter is expected")
        _, source, code, rest = parts
        if source not in RESOURCE_TYPES:
            raise refusal("invalid-search", self._written, "unknown resource type")
        self._refuse_unstored(source)
        link = self._link(source, code)
        if resource_type not in link.targets:
            raise refusal(
                "invalid-search", self._written, f"{code} of {source} does not refer to {resource_type}"
            )
        return Has(source, link, self.read(source, rest, links + 1))

    def _refuse_unstored(self, resource_type: str) -> None:
        if resource_type in UNSTORED:
            raise refusal("unsupported-search", self._written, f"{resource_type} is searched on its own only")

    def _link(self, resource_type: str, code: str) -> SearchParameter:
        parameter = answered(resource_type, code, self._reading.known)
        if parameter is None:
            name = code if _PRINTABLE_NAME.fullmatch(code) else self._written
            raise unknown(resource_type, name, self._reading.known)
        if parameter.type != "reference" or "Reference" not in parameter.datatypes:
            raise refusal("invalid-search", self._written, f"{code} is no reference to another resource")
        return parameter

    def _count(self, parts: int, steps: int) -> None:
        """Parts are read whether or not they make sense; steps are those of what does."""
        self._parts += parts
        self._steps += steps
        most = max(self._parts, self._steps)
        if most > STEPS_MAXIMUM or self._steps * len(self._values) > _COMPARISONS_MAXIMUM:
            raise refusal("too-costly", self._written, "it can mean too much; name the types of its links")

    def _list(self, name: str) -> Has:
        """`_list=id`: what the entries of a List refer to, which is what List's parameter `item` selects."""
        if name != "_list":
            raise refusal("unsupported-search", self._written, "modifier not supported")
        if any(value.startswith("$") for value in self._values):
            raise refusal(
                "unsupported-search", self._written, "functional lists are not offered; name a List by its id"
            )
        return Has("List", self._link("List", "item"), self._clause("List", "_id"))

    def _clause(self, resource_type: str, name: str) -> Clause:
        """The parameter that a name ends with, its modifier, and the values."""
        code, _, modifier = name.partition(":")
        parameter = answered(resource_type, code, self._reading.known)
        if parameter is None:
            raise unknown(resource_type, self._written, self._reading.known)
        targets = parameter.targets if parameter.type == "reference" else ()
        if modifier in RESOURCE_TYPES and parameter.type == "reference":
            if modifier not in targets:
                raise refusal("invalid-search", self._written, f"{code} does not refer to {modifier}")
        elif modifier or ":" in name:
            _check_modifier(parameter, modifier, self._written)
        try:
            read = tuple([read_modified(parameter, modifier, value, self._reading) for value in self._values])
        except BadValue as error:
            raise refusal("invalid-search", self._written, str(error)) from error
        if modifier == "missing" and len(read) > 1:
            raise refusal("invalid-search", self._written, "one of true and false is expected")
        return Clause(parameter, "" if modifier in RESOURCE_TYPES else modifier, read)


def _check_modifier(parameter: SearchParameter, modifier: str, written: str) -> None:
    offered = modifiers(parameter)
    if modifier not in offered:
        listed = ", ".join(f":{m}" for m in sorted(offered)) or "none"
        raise refusal("unsupported-search", written, f"modifier not supported. Of this parameter: {listed}")
