"""The name of a search parameter, with its modifier, chain or `_has`, and its values: one condition.

Source: hl7.org/fhir/R4/search.html#modifiers, #chaining, #has
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from server.errors import FhirError
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_parameters import parameter as known_parameter
from server.fhir.search_parameters import supported
from server.fhir.search_query import Chained, Clause, Condition, Has, SearchParameter
from server.fhir.search_values import BadValue, Reading, read_value, split

# Parameter type -> modifiers this server answers, beside `missing` on all and a type's name on references.
MODIFIERS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"exact", "contains"}),
    "token": frozenset({"not"}),
    "reference": frozenset({"identifier"}),
}
# Parameters that select exactly one value of every resource take no modifier.
_OWN_ROW = frozenset({"_id", "_lastUpdated"})
# How many values one parameter may have: an OR of more is a job for several searches.
VALUES_MAXIMUM = 1_000

_PRINTABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}(?:[:.][A-Za-z0-9_\-]{1,64}){0,8}")


def refusal(kind: str, name: str, diagnostics: str) -> FhirError:
    """An error about a search parameter, located as R4 asks: `http.name`."""
    code = name.partition(":")[0].partition(".")[0]
    code = code if _PRINTABLE_NAME.fullmatch(code) else ""
    shown = name if _PRINTABLE_NAME.fullmatch(name) else code
    lead = f"Search parameter {shown}: " if shown else "Search parameter: "
    return FhirError(kind, lead + diagnostics, f"http.{code}" if code else "")


def unknown(resource_type: str, name: str) -> FhirError:
    """The error for a parameter that this server does not answer, with those it does."""
    code = name.partition(":")[0].partition(".")[0]
    valid = ", ".join(supported(resource_type))
    if known_parameter(resource_type, code) is not None:
        return refusal(
            "unsupported-search", name, f"not supported by this server. {resource_type} has: {valid}"
        )
    return refusal("unsupported-search", name, f"unknown. {resource_type} has: {valid}")


def is_known(resource_type: str, name: str) -> bool:
    """Whether the parameter that a name begins with is one this server answers for the type."""
    code = name.partition(":")[0].partition(".")[0]
    return code in supported(resource_type) or code == "_has"


def read_condition(resource_type: str, name: str, text: str, reading: Reading) -> Condition:
    """The condition `name=text` on resources of a type.

    Raises: FhirError("unsupported-search", "invalid-search" or "too-costly").
    """
    if name.startswith("_has:") or name == "_has":
        return _has(resource_type, name, text, reading)
    link, dot, rest = name.partition(".")
    if dot:
        return _chained(resource_type, name, link, rest, text, reading)
    return _clause(resource_type, name, name, text, reading)


def _clause(resource_type: str, name: str, written: str, text: str, reading: Reading) -> Clause:
    """A clause; written: the whole name in the query, for errors."""
    code, _, modifier = name.partition(":")
    parameter = supported(resource_type).get(code)
    if parameter is None:
        raise unknown(resource_type, written)
    targets = parameter.targets if parameter.type == "reference" else ()
    if modifier in RESOURCE_TYPES and parameter.type == "reference":
        if modifier not in targets:
            raise refusal("invalid-search", written, f"{code} does not refer to {modifier}")
    elif modifier or ":" in name:
        _check_modifier(parameter, modifier, written)
    values = split(text, ",")
    if len(values) > VALUES_MAXIMUM:
        raise refusal("too-costly", written, f"more than {VALUES_MAXIMUM} values")
    try:
        read = tuple([read_value(parameter, modifier, value, reading) for value in values])
    except BadValue as error:
        raise refusal("invalid-search", written, str(error)) from error
    if modifier == "missing" and len(read) > 1:
        raise refusal("invalid-search", written, "one of true and false is expected")
    return Clause(parameter, "" if modifier in RESOURCE_TYPES else modifier, read)


def _check_modifier(parameter: SearchParameter, modifier: str, written: str) -> None:
    offered = MODIFIERS.get(parameter.type, frozenset()) | {"missing"}
    if parameter.code in _OWN_ROW:
        offered = frozenset()
    if modifier not in offered:
        listed = ", ".join(f":{m}" for m in sorted(offered)) or "none"
        raise refusal("unsupported-search", written, f"modifier not supported. Of this parameter: {listed}")


def _chained(resource_type: str, name: str, link: str, rest: str, text: str, reading: Reading) -> Chained:
    code, _, wanted = link.partition(":")
    parameter = _link(resource_type, code, name)
    if "." in rest or rest.startswith("_has"):
        raise refusal("unsupported-search", name, "chains of more than one link are not supported")
    if wanted:
        if wanted not in parameter.targets:
            raise refusal("invalid-search", name, f"{code} refers to {', '.join(parameter.targets)}")
        return Chained(parameter, ((wanted, _clause(wanted, rest, name, text, reading)),))
    asked = rest.split(":")[0]
    knowing = [target for target in parameter.targets if asked in supported(target)]
    if not knowing:
        raise refusal("unsupported-search", name, f"no resource that {code} refers to has such a parameter")
    found: list[tuple[str, Condition]] = []
    error: FhirError | None = None
    for target in knowing:
        # A parameter of the same code may be of another type on another target, and the value impossible.
        try:
            found.append((target, _clause(target, rest, name, text, reading)))
        except FhirError as refused:
            error = error or refused
    if not found and error is not None:
        raise error
    return Chained(parameter, tuple(found))


def _link(resource_type: str, code: str, written: str) -> SearchParameter:
    parameter = supported(resource_type).get(code)
    if parameter is None:
        raise unknown(resource_type, code if _PRINTABLE_NAME.fullmatch(code) else written)
    if parameter.type != "reference" or "Reference" not in parameter.datatypes:
        raise refusal("invalid-search", written, f"{code} is no reference to another resource")
    return parameter


def _has(resource_type: str, name: str, text: str, reading: Reading) -> Has:
    parts = name.split(":", 3)
    if len(parts) != 4 or not all(parts):
        raise refusal("invalid-search", name, "_has:Type:reference:parameter is expected")
    _, source, code, rest = parts
    if source not in RESOURCE_TYPES:
        raise refusal("invalid-search", name, "unknown resource type")
    if "." in rest or rest.startswith("_has"):
        raise refusal("unsupported-search", name, "chains inside _has are not supported")
    link = _link(source, code, name)
    if resource_type not in link.targets:
        raise refusal("invalid-search", name, f"{code} of {source} does not refer to {resource_type}")
    return Has(source, link, _clause(source, rest, name, text, reading))
