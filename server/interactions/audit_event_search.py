"""What R4's search parameters of AuditEvent ask of audit rows: the one table of those that are answered (pure).

A clause becomes a condition on the fields that an event is made of (`audit_event`), so that a search finds
exactly the events that say what was asked. What is not in the table is refused, never ignored.
Source: hl7.org/fhir/R4/auditevent.html#search
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from server.errors import FhirError
from server.fhir.search_conditions import refusal
from server.fhir.search_query import (
    Clause,
    DateValue,
    EntriesValue,
    ReferenceValue,
    SearchParameter,
    SearchQuery,
    TokenValue,
    UriValue,
    Value,
)
from server.fhir.search_results import is_result_parameter
from server.interactions.audit_event import (
    CLIENT_SYSTEM,
    DENIALS,
    OUTCOMES,
    SERVER_SYSTEM,
    TOKEN_PREFIX,
    USER_SYSTEM,
)
from server.policy.audit_events import OWN_SYSTEM, Code, Kind, denied, interactions, kinds
from server.storage.audit_values import AuditCondition, AuditQuery, AuditRange, AuditTest

# A value -> the alternatives by which a row's event says it. base_url: the FHIR base.
Reader = Callable[[SearchParameter, Value, str], AuditCondition]

# What `_sort` takes.
ORDERS = frozenset({"date", "_lastUpdated"})
_TOKEN_DIGITS = 16
_unsupported = partial(refusal, "unsupported-search")


def check_names(names: Iterable[str]) -> None:
    """Refuse parameters that are not answered, naming those that are. names: with modifiers.

    Raises: FhirError unsupported-search.
    """
    for name in names:
        if is_result_parameter(name):
            continue
        if "." in name:
            raise _unsupported(name, "audit events are searched by what they say themselves, not by a chain")
        if name.partition(":")[0] not in ANSWERED:
            raise _unsupported(name, f"not answered for AuditEvent, which has: {', '.join(sorted(ANSWERED))}")


def audit_query(query: SearchQuery, base_url: str) -> AuditQuery:
    """The query of audit rows that a search of AuditEvents asks for; the latest first where it states no order.

    Raises: FhirError unsupported-search for everything that is not answered.
    """
    if query.includes:
        raise _unsupported("_include", "what audit events refer to is searched on its own")
    conditions = [_condition(condition, base_url) for condition in query.conditions]
    # A patient whom all rows must name leads to them: by the list of that patient's rows.
    patient = next((id for found in conditions if (id := _named_patient(found))), "")
    return AuditQuery(
        patient=patient,
        conditions=tuple(found for found in conditions if not patient or _named_patient(found) != patient),
        ascending=_ascending(query),
        count=query.count,
    )


def _ascending(query: SearchQuery) -> bool:
    """Whether the oldest comes first. A second order has nothing left to decide: both are the same moment."""
    if any(key.parameter.code not in ORDERS for key in query.sort):
        raise _unsupported("_sort", "audit events sort by date, with - or without")
    return bool(query.sort) and not query.sort[0].descending


def _named_patient(condition: AuditCondition) -> str:
    """The one patient that a condition asks for, "" for any other condition."""
    match condition:
        case ((AuditTest("patient", (str(id),), False),),):
            return id
    return ""


def _condition(condition: object, base_url: str) -> AuditCondition:
    if not isinstance(condition, Clause):
        raise FhirError(
            "unsupported-search",
            "audit events are searched by what they say themselves: no chain, _has or _list",
        )
    code, modifier = condition.parameter.code, condition.modifier
    check_names((code,))
    readers = ANSWERED[code]
    read = readers.get(modifier)
    if read is None:
        listed = ", ".join(f":{name}" for name in sorted(readers) if name) or "none"
        raise _unsupported(code, f"modifier not supported here. Of this parameter: {listed}")
    return tuple(
        alternative for value in condition.values for alternative in read(condition.parameter, value, base_url)
    )


def _id(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, TokenValue)
    id = value.code or ""
    return ((AuditTest("sequence", (number,)),),) if (number := sequence_of(id)) else ()


def sequence_of(id: str) -> int:
    """The number of the row that an AuditEvent of this id is made of, 0 for an id that none can have."""
    return int(id) if id.isascii() and id.isdigit() and id[0] != "0" and len(id) < 19 else 0


# Prefix -> where the first millisecond may be (low, high), for a row recorded in one millisecond [r, r + 1) and
# a value [a, b). Source: hl7.org/fhir/R4/search.html#prefix; `search_query.DateValue`.
_DATES: Mapping[str, Callable[[int, int], tuple[tuple[int | None, int | None], ...]]] = {
    "eq": lambda a, b: ((a, b),),
    "ap": lambda a, b: ((a, b),),
    "ne": lambda a, b: ((None, a), (b, None)),
    "gt": lambda a, b: ((b, None),),
    "sa": lambda a, b: ((b, None),),
    "lt": lambda a, b: ((None, a),),
    "eb": lambda a, b: ((None, a),),
    "ge": lambda a, b: ((a, None),),
    "le": lambda a, b: ((None, b),),
}


def _date(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, DateValue)
    # Finer than a millisecond nothing is recorded: of a bound within one, the whole of it.
    low, high = value.low // 1000, -(-value.high // 1000)
    return tuple((AuditRange("recorded", *bounds),) for bounds in _DATES[value.prefix](low, high))


def _patient(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, ReferenceValue)
    if value.url is not None or not value.id or value.resource_type not in (None, "Patient"):
        return ()
    return ((AuditTest("patient", (value.id,)),),)


def _agent(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, ReferenceValue)
    if value.url is not None:
        return ()
    types = (value.resource_type,) if value.resource_type else parameter.targets
    named = tuple(f"{name}/{value.id}" for name in types)
    return ((AuditTest("principal", named),), (AuditTest("organization", named),))


def _agent_identifier(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, TokenValue)
    fields = {USER_SYSTEM: "username", CLIENT_SYSTEM: "client_id"}
    found: list[tuple[AuditTest | AuditRange, ...]] = []
    for system, field in fields.items():
        if value.system in (None, system):
            found.append(
                (AuditTest(field, (value.code,)),)
                if value.code is not None
                else (AuditTest(field, ("",), negated=True),)
            )
    return (*found, *_source_identifier(parameter, value, base_url))


def _source(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    """The source is this server, which no resource stands for."""
    return ()


def _source_identifier(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, TokenValue)
    own = value.system in (None, SERVER_SYSTEM) and value.code in (None, base_url)
    return ((),) if own else ()


def _entity(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, ReferenceValue)
    if value.url is not None:
        return ()
    itself: tuple[AuditTest, ...] = (
        AuditTest("id", (value.id or "",)),
        AuditTest("resource_type", ("",), True),
    )
    if value.resource_type is not None:
        itself = (AuditTest("resource_type", (value.resource_type,)), itself[0])
    named = _patient(parameter, value, base_url)
    return (*named, itself)


def _action(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    return _by_kind(lambda kind: _is_code(value, kind.action))


def _outcome(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    found: list[tuple[AuditRange, ...]] = []
    below: int | None = None
    for least, code in OUTCOMES:
        if _is_code(value, code):
            found.append((AuditRange("outcome", least, below),))
        below = least
    return tuple(found)


def _type(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    return _by_kind(lambda kind: _is_coding(value, kind.type))


def _subtype(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, TokenValue)
    found = _by_kind(lambda kind: any(_is_coding(value, code) for code in kind.subtypes))
    if _is_coding(value, denied()):
        rest = _by_kind(lambda kind: kind.type.code == "rest")
        found = (*found, *((*tests, AuditTest("outcome", DENIALS)) for tests in rest))
    if value.system in (None, OWN_SYSTEM):
        if value.code is None:
            named = tuple(name for name, kind in kinds().items() if name and not _has_own(kind))
            found = (*found, (AuditTest("interaction", named, negated=True),))
        elif value.code not in kinds():
            found = (*found, (AuditTest("interaction", (value.code,)),))
    return found


def _has_own(kind: Kind) -> bool:
    return any(code.system == OWN_SYSTEM for code in kind.subtypes)


def _policy(parameter: SearchParameter, value: Value, base_url: str) -> AuditCondition:
    assert isinstance(value, UriValue)
    token = value.uri.removeprefix(TOKEN_PREFIX)
    known = token != value.uri and len(token) == _TOKEN_DIGITS
    return ((AuditTest("token_id", (token,)),),) if known else ()


def _by_kind(fits: Callable[[Kind], bool]) -> AuditCondition:
    found = interactions(fits)
    names = tuple(sorted(found.named))
    if not names:
        return ((),) if found.others else ()
    return ((AuditTest("interaction", names, negated=found.others),),)


def _is_code(value: Value, code: str) -> bool:
    """Of an element of type code, whose system the parser has compared already."""
    if isinstance(value, EntriesValue):  # `system|`: any code of the system that the element is bound to
        return bool(value.entries)
    return isinstance(value, TokenValue) and not value.system and value.code == code


def _is_coding(value: Value, code: Code) -> bool:
    assert isinstance(value, TokenValue)
    return value.system in (None, code.system) and value.code in (None, code.code)


# Code -> modifier -> how its values are read. What is not here is refused.
ANSWERED: Mapping[str, Mapping[str, Reader]] = {
    "_id": {"": _id},
    "_lastUpdated": {"": _date},
    "action": {"": _action},
    "agent": {"": _agent, "identifier": _agent_identifier},
    "date": {"": _date},
    "entity": {"": _entity},
    "outcome": {"": _outcome},
    "patient": {"": _patient},
    "policy": {"": _policy},
    "source": {"": _source, "identifier": _source_identifier},
    "subtype": {"": _subtype},
    "type": {"": _type},
}
