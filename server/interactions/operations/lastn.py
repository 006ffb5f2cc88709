"""$lastn: the last n Observations of each kind.

Kinds are groups of codes: two Observations are of one kind where they share a coding, or where a third one has
a coding of each (equality is transitive); without codings, where they share the text. The search that finds
them is the usual one, newest first; what is looked at is one subject's, however many others there are.
Source: hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.bundle import bundle, outcome_entry, search_entry, url_with
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode
from server.fhir.search_parameters import main_date_parameter, supported
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import SearchQuery, SortKey
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.parameters import place_of
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

_TYPE = "Observation"
_PAGE = 2_000
_MOST = 50_000  # Observations of one question
# By its reference, which names somebody; `patient:missing=false` or a chain would name everybody.
_SUBJECTS = frozenset({"patient", "subject", "patient:Patient", "subject:Patient", "subject:Group"})


def lastn(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A searchset Bundle, newest first; more than `max` of a kind where several are of one moment.

    Raises: FhirError required (no subject, no category or code), invalid-search, unsupported-search,
    too-costly.
    """
    query = _query(call, arguments.search)
    kinds = _Kinds(call, arguments.one("max") or 1)
    for position, version in enumerate(_found(call, query)):
        if position == _MOST:
            raise FhirError(
                "too-costly", f"more than {_MOST} Observations; narrow it by category, code or date"
            )
        kinds.add(position, version)
    kept = kinds.kept()
    most = call.context.limits.bundle_entries
    if len(kept) > most:
        raise FhirError(
            "too-costly", f"the answer would have more than {most} entries; ask for fewer of a kind"
        )
    base_url = call.context.base_url
    entries = [search_entry(base_url, _TYPE, version.id, version.body, "match") for version in kept]
    if not entries:
        said = Issue("not-found", "no Observation fulfils this", severity="information")
        entries.append(outcome_entry(operation_outcome([said])))
    pairs = (*arguments.written, *arguments.search)
    links = [("self", url_with(f"{base_url}/{_TYPE}/$lastn", pairs))]
    return InteractionResponse(
        200,
        bundle("searchset", entries, total=len(kept), links=links),
        patients=patients_of(kept, base_url),
        results=len(kept),
    )


def _query(call: Call[Reader], pairs: tuple[tuple[str, str], ...]) -> SearchQuery:
    context = call.context
    codes = _names()
    names = [name.partition(":")[0].partition(".")[0] for name, _ in pairs]
    if _SUBJECTS.isdisjoint(name for name, _ in pairs):
        raise FhirError(
            "required", "$lastn needs a subject: patient or subject", place_of(call.request, "patient")
        )
    if codes.isdisjoint(names):
        raise FhirError(
            "required",
            f"$lastn needs a category or a code: one of {', '.join(sorted(codes))}",
            place_of(call.request, "category"),
        )
    query = parse_search(
        _TYPE,
        pairs,
        time_zone=context.time_zone,
        base_url=context.base_url,
        now=context.clock(),
        known=call.unit.custom_parameters,
    )
    if len(query.conditions) != len(pairs):
        shaping = next((name for name, _ in pairs if name.partition(":")[0] not in supported(_TYPE)), "")
        raise FhirError(
            "unsupported-search",
            "$lastn takes search parameters that filter; order and number are its own",
            f"http.{shaping.partition(':')[0]}" if shaping.startswith("_") else "",
        )
    newest = main_date_parameter(_TYPE)
    assert newest is not None
    return replace(query, sort=(SortKey(newest, descending=True),), count=_PAGE, total="none", includes=())


def _names() -> frozenset[str]:
    """The parameters of which one is needed: the category, and those that look at a code."""
    return frozenset(
        name
        for name, parameter in supported(_TYPE).items()
        if name == "category" or (parameter.type in ("token", "composite") and "code" in name)
    )


def _found(call: Call[Reader], query: SearchQuery) -> Iterator[StoredVersion]:
    """All matches, newest first."""
    page = call.unit.search(query, call.decision.visible)
    yield from page.matches
    while page.next_after is not None:
        page = call.unit.search(replace(query, after=page.next_after), call.decision.visible)
        yield from page.matches


class _Coding(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Code(msgspec.Struct):
    coding: list[_Coding] = []
    text: str = ""


class _Observation(msgspec.Struct):
    code: _Code


_read_code = msgspec.json.Decoder(_Observation).decode


def _codes(version: StoredVersion) -> list[Hashable]:
    """What the kind of an Observation is known by."""
    code = _read_code(version.body).code
    codings: list[Hashable] = [(each.system, each.code) for each in code.coding if each.code]
    return codings or [code.text]


@dataclass(slots=True)
class _Kind:
    """The newest Observations of a kind, each with its place among all. closed: older ones are known."""

    kept: list[tuple[int, StoredVersion]] = field(default_factory=list)
    closed: bool = False


class _Kinds:
    """Observations in their order, newest first, sorted into kinds of which only the newest are kept."""

    def __init__(self, call: Call[Reader], most: int) -> None:
        self._call, self._most = call, most
        self._kind_of: dict[Hashable, _Kind] = {}
        self._codes_of: dict[int, list[Hashable]] = {}  # of a kind, by its identity

    def add(self, position: int, version: StoredVersion) -> None:
        """The next Observation, not newer than those before."""
        kind = self._joined(_codes(version))
        if kind.closed:
            return
        if len(kind.kept) >= self._most and not self._same_moment(kind.kept[-1][1], version):
            kind.closed = True
            return
        kind.kept.append((position, version))

    def kept(self) -> list[StoredVersion]:
        """The newest of every kind, newest first."""
        kinds = {id(kind): kind for kind in self._kind_of.values()}
        rows = sorted((row for kind in kinds.values() for row in kind.kept), key=lambda row: row[0])
        return [version for _, version in rows]

    def _joined(self, codes: list[Hashable]) -> _Kind:
        """The kind of these codes; kinds that they connect become one."""
        known = {id(kind): kind for code in codes if (kind := self._kind_of.get(code)) is not None}
        kinds = list(known.values()) or [_Kind()]
        kind = kinds[0]
        own = self._codes_of.setdefault(id(kind), [])
        if len(kinds) > 1:
            rows = sorted((row for each in kinds for row in each.kept), key=lambda row: row[0])
            for each in kinds[1:]:
                own += self._codes_of.pop(id(each))
            kind.closed = any(each.closed for each in kinds)
            kind.kept = self._newest(rows)
        own += codes
        for code in own if len(kinds) > 1 else codes:
            self._kind_of[code] = kind
        return kind

    def _newest(self, rows: list[tuple[int, StoredVersion]]) -> list[tuple[int, StoredVersion]]:
        kept = rows[: self._most]
        for row in rows[self._most :]:
            if not self._same_moment(kept[-1][1], row[1]):
                break
            kept.append(row)
        return kept

    def _same_moment(self, one: StoredVersion, other: StoredVersion) -> bool:
        """Whether both are of one known time; unknown times are never equal."""
        moment = self._moment(one)
        return moment is not None and moment == self._moment(other)

    def _moment(self, version: StoredVersion) -> int | None:
        context = self._call.context
        return index_values(
            decode(version.body), base_url=context.base_url, time_zone=context.time_zone
        ).main_date
