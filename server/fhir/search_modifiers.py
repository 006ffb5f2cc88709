"""The modifiers of search parameters: which one a parameter takes, and what its values then are.

Sources: hl7.org/fhir/R4/search.html#modifiers, #token, #uri, #reference, #versions, #recursive
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from server.fhir.bindings import MIME_TYPES, bound_value_sets
from server.fhir.hashing import mime_type_entry, of_type_entry, reference_hash, version_entry
from server.fhir.search_query import (
    ConceptValue,
    EntriesValue,
    SearchParameter,
    TreeValue,
    UriValue,
    Value,
    ValueSetValue,
)
from server.fhir.search_values import (
    ID,
    BadValue,
    Reading,
    read_reference,
    read_string,
    read_value,
    split,
    unescape,
)

# Resource type -> its search parameter that refers to the resource it is a part of: a strict hierarchy.
HIERARCHIES: Mapping[str, str] = {
    "CarePlan": "part-of",
    "DeviceDefinition": "parent",
    "Encounter": "part-of",
    "Location": "partof",
    "Organization": "partof",
    "Procedure": "part-of",
    "ResearchStudy": "partof",
    "Specimen": "parent",
    "Task": "part-of",
}

# Parameters that select exactly one value of every resource take no modifier.
_OWN_ROW = frozenset({"_id", "_lastUpdated"})
_CONCEPTS = frozenset({"Coding", "CodeableConcept"})
_WITH_TEXT = _CONCEPTS | {"Identifier"}
# Parts of a uri of which all that are above it are looked for.
_PATH_PARTS = 50
_CODE_MODIFIERS = frozenset({"above", "below", "in", "not-in"})


@lru_cache(maxsize=2048)
def modifiers(parameter: SearchParameter) -> frozenset[str]:
    """The modifiers a parameter takes, beside a type's name on references."""
    if parameter.code in _OWN_ROW:
        return frozenset()
    return frozenset({"missing"}) | _BY_TYPE.get(parameter.type, _none)(parameter)


def read_modified(parameter: SearchParameter, modifier: str, text: str, reading: Reading) -> Value:
    """One value of a parameter with one of its modifiers, or "" for none; text: still escaped.

    Raises: BadValue.
    """
    reader = _READERS.get((parameter.type, modifier))
    if reader is None:
        return read_value(parameter, modifier, text, reading)
    if not text or "\0" in text:
        raise BadValue("a value is missing")
    return reader(parameter, text, reading)


def _none(parameter: SearchParameter) -> frozenset[str]:
    return frozenset()


def _of_token(parameter: SearchParameter) -> frozenset[str]:
    kinds = set(parameter.datatypes)
    found = {"not"}
    if kinds & _CONCEPTS or is_mime_type(parameter) or bound_value_sets(parameter):
        found |= _CODE_MODIFIERS - {"above"} if is_mime_type(parameter) else _CODE_MODIFIERS
    if kinds & _WITH_TEXT:
        found.add("text")
    if "Identifier" in kinds:
        found.add("of-type")
    return frozenset(found)


def _of_reference(parameter: SearchParameter) -> frozenset[str]:
    if "Reference" not in parameter.datatypes:
        return frozenset({"below"}) if _is_canonical(parameter) else frozenset()
    hierarchical = not HIERARCHIES.keys().isdisjoint(parameter.targets)
    return frozenset({"identifier", "above", "below"} if hierarchical else {"identifier"})


_BY_TYPE: Mapping[str, Callable[[SearchParameter], frozenset[str]]] = {
    "string": lambda parameter: frozenset({"exact", "contains"}),
    "token": _of_token,
    "reference": _of_reference,
    "uri": lambda parameter: frozenset({"above", "below"}),
}


def is_mime_type(parameter: SearchParameter) -> bool:
    """Whether a parameter selects MIME types, below which are those with parameters."""
    return MIME_TYPES in bound_value_sets(parameter)


def _is_canonical(parameter: SearchParameter) -> bool:
    return not {"canonical", "uri"}.isdisjoint(parameter.datatypes)


def _of_type(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise BadValue("system|code|value is expected: a type's system and code, and the identifier's value")
    return EntriesValue.of([of_type_entry(*parts)])


def _value_set(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    plain = unescape(text)
    local = plain[len(reading.base) :] if reading.base and plain.startswith(reading.base) else plain
    kind, _, id = local.partition("/")
    if kind == "ValueSet" and ID.fullmatch(id):
        return ValueSetValue(id, "", "")
    url, _, version = plain.partition("|")
    if ":" not in url:
        raise BadValue("ValueSet/id or the canonical url of a value set is expected, with |version or without")
    return ValueSetValue("", url, version)


def _concept(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1 and bound_value_sets(parameter):
        parts.insert(0, "")
    elif len(parts) != 2 or not parts[0]:
        raise BadValue("system|code is expected")
    if not parts[1]:
        raise BadValue("a code is missing")
    return ConceptValue(*parts)


def _token_below(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    if not is_mime_type(parameter):
        return _concept(parameter, text, reading)
    mime_type = unescape(text)
    if "|" in mime_type or mime_type.count("/") != 1 or ";" in mime_type:
        raise BadValue("a MIME type without parameters is expected, such as text/xml")
    return EntriesValue.of([mime_type_entry(mime_type)])


def _uri_above(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    if text.count("/") > _PATH_PARTS:
        raise BadValue(f"a uri of at most {_PATH_PARTS} parts is expected")
    return UriValue(unescape(text))


def _tree(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    value = read_reference(parameter, text, reading)
    if value.id is None:
        return value  # it is a part of nothing that is known here
    types = parameter.targets if value.resource_type is None else (value.resource_type,)
    known = tuple(name for name in types if name in HIERARCHIES)
    if not known:
        raise BadValue(f"hierarchies are known of {', '.join(HIERARCHIES)}")
    return TreeValue(known, value.id)


def _reference_below(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    if not _is_canonical(parameter):
        return _tree(parameter, text, reading)
    url, _, version = unescape(text).partition("|")
    if not version:
        return read_reference(parameter, text, reading)
    return EntriesValue.of([version_entry(url, version), reference_hash(f"{url}|{version}")])


_READERS: Mapping[tuple[str, str], Callable[[SearchParameter, str, Reading], Value]] = {
    ("token", "text"): read_string,
    ("token", "of-type"): _of_type,
    ("token", "in"): _value_set,
    ("token", "not-in"): _value_set,
    ("token", "above"): _concept,
    ("token", "below"): _token_below,
    ("uri", "above"): _uri_above,
    ("reference", "above"): _tree,
    ("reference", "below"): _reference_below,
}
