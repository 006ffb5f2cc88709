"""$expand: the codes of a value set, all or a page, as a ValueSet with an expansion.

The expansion says which code systems it rests on and, where one of them is known in part only, that it is not
closed.
Source: hl7.org/fhir/R4/valueset-operation-expand.html, hl7.org/fhir/R4/extension-valueset-unclosed.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.fhir.json_codec import encode
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.terminology.asking import asking, used
from server.interactions.request import InteractionResponse
from server.interactions.version import instant
from server.storage.interface import Reader
from server.terminology.code_validation import Displays
from server.terminology.composition import Composer
from server.terminology.concepts import Designation
from server.terminology.expansion import Entry, Page, Wanted, page
from server.terminology.value_sets import ValueSet
from server.terminology.words import words

_UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
# What of the definition goes with its expansion; its copyright has to.
_KEPT = ("url", "identifier", "version", "name", "title", "status", "experimental", "publisher", "copyright")
# Parameters that the expansion repeats, and how.
_ECHOED: Mapping[str, str] = {
    "filter": "valueString",
    "offset": "valueInteger",
    "count": "valueInteger",
    "activeOnly": "valueBoolean",
    "includeDesignations": "valueBoolean",
    "excludeNotForUI": "valueBoolean",
    "displayLanguage": "valueCode",
}


def expand(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """The value set with its expansion, flat and in the order of the definition.

    Raises: FhirError required, not-found, deleted, not-determinable, too-costly.
    """
    with asking(call, arguments) as asked:
        value_set = asked.value_set()
        composer = Composer(asked.definitions, fragments=True)
        composed = composer.compose(value_set)
        found = page(composer, composed, _wanted(arguments))
        expansion: dict[str, Any] = {
            "identifier": f"urn:uuid:{call.context.new_id()}",
            "timestamp": instant(call.context.clock()),
        }
        if any(source is not None and not source.is_complete for source in composer.systems.values()):
            expansion = {"extension": [{"url": _UNCLOSED, "valueBoolean": True}], **expansion}
        if found.total is not None:
            expansion["total"] = found.total
        if arguments.one("offset") is not None:
            expansion["offset"] = arguments.one("offset")
        expansion["parameter"] = list(_parameters(arguments, composer))
        contains = list(_contains(found, arguments))
        if contains:
            expansion["contains"] = contains
        return InteractionResponse(200, encode(_head(value_set, arguments) | {"expansion": expansion}))


def _wanted(arguments: Arguments) -> Wanted:
    one = arguments.one
    return Wanted(
        words=words(one("filter")) if one("filter") is not None else None,
        offset=one("offset") or 0,
        count=one("count"),
        active=bool(one("activeOnly")),
        selectable=bool(one("excludeNotForUI")),
    )


def _head(value_set: ValueSet, arguments: Arguments) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "ValueSet"}
    found |= {name: value_set.resource[name] for name in _KEPT if name in value_set.resource}
    found.setdefault("status", "active")
    if value_set.url:
        found.setdefault("url", value_set.url)
    if arguments.one("includeDefinition") and "compose" in value_set.resource:
        found["compose"] = value_set.resource["compose"]
    return found


def _parameters(arguments: Arguments, composer: Composer) -> Iterator[dict[str, Any]]:
    for name, element in _ECHOED.items():
        if arguments.one(name) is not None:
            yield {"name": name, element: arguments.one(name)}
    for url, version in used(composer):
        yield {"name": "used-codesystem", "valueUri": f"{url}|{version}" if version else url}
    for included in composer.value_sets[1:]:
        canonical = f"{included.url}|{included.version}" if included.version else included.url
        yield {"name": "used-valueset", "valueUri": canonical}


def _contains(found: Page, arguments: Arguments) -> Iterator[dict[str, Any]]:
    language = arguments.one("displayLanguage") or ""
    for entry in found.entries:
        row: dict[str, Any] = {"system": entry.member.system}
        if entry.is_abstract:
            row["abstract"] = True
        if entry.is_inactive:
            row["inactive"] = True
        if entry.member.version:
            row["version"] = entry.member.version
        row["code"] = entry.member.code
        displays = _displays(entry)
        if display := displays.preferred(language):
            row["display"] = display
        if arguments.one("includeDesignations") and displays.all():
            row["designation"] = [_designation(designation) for designation in displays.all()]
        yield row


def _displays(entry: Entry) -> Displays:
    listed = entry.member.listed
    return Displays(entry.concept, listed.display if listed else "", entry.member.designations)


def _designation(designation: Designation) -> dict[str, Any]:
    row: dict[str, Any] = {"language": designation.language} if designation.language else {}
    if designation.use:
        row["use"] = designation.use
    return row | {"value": designation.value}
