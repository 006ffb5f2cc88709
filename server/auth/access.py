"""The access decision: what a principal may see and write. The only place where access is decided (pure).

Access = what any of the token's scopes allows, where
- a `patient/` scope reaches the compartment of the launch context's patient, and reads types that are nobody's
  chart (Practitioner, Organization, Location, Medication, ...; `policy/open_types.json`) only where a resource
  it may see refers to them; it never writes those, and other types of no compartment it never sees;
- a `user/` scope reaches what there is of its types;
- a `system/` scope reaches all resources of its type;
and where a member of staff acts, by a `patient/` or a `user/` scope, only what the role may do, too
(`policy/roles.json`), in charts that the reach of role and organizations allows: all, or those to which the
person is related (`care_limits`, `policy/relationships.json`). Types that are nobody's chart need no
relationship.
A missing claim denies: `patient/` without a patient and `user/` without a user reach nothing. The answer for
instances is a Visibility that storage turns into SQL, so a hidden instance is as if absent (404); a type
outside the scopes and the role is refused here (403).
Of all these a partner organisation's client or user reaches, so far, only what is nobody's chart, and writes
nothing; a partner's role without the partner's organization reaches nothing.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html,
hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from server.auth.care_limits import acts_for_staff, caller_of, limits_of
from server.auth.principal import Principal
from server.auth.scopes import Scope
from server.errors import FhirError
from server.fhir.compartments import RESOURCE_TYPES, in_patient_compartment
from server.fhir.criteria import Indexed, matches
from server.fhir.index_rows import IndexRows
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import Clause, is_unresolved
from server.fhir.visibility import NOTHING, Limit, Rule, Visibility
from server.policy.open_types import open_types
from server.policy.relationships import relationship_policy
from server.policy.roles import role

# Interaction -> the permission it needs; "" needs none of its own: its parts are decided one by one.
PERMISSION: Mapping[str, str] = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "batch": "",
    "transaction": "",
    "operation": "",  # its row says what else it needs (`interactions.operations`)
    "capabilities": "",
    # Of an asynchronous request: who made it may ask for its answer (`interactions.asynchronous`).
    "async-status": "",
    "async-cancel": "",
}
_WRITES = frozenset("cud")
_DEFINITIONS = "SearchParameter"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one interaction of one principal may touch.

    visible: what it may see: for a read or search the resources it may answer with; for a write those it may
    learn of (to match a condition, to find the version it replaces). writable: the resources it may change;
    one that is visible but not writable is refused (403). diagnostics: it may be told how the server works,
    which is for people whose role has the console. definitions: it may change what everyone can ask: store a
    SearchParameter that takes effect.
    """

    visible: Visibility
    writable: Visibility = NOTHING
    diagnostics: bool = False
    definitions: bool = False


def decide(
    principal: Principal, interaction: str, resource_type: str = "", *, at: int | None = None
) -> Decision:
    """The decision for one interaction on one type ("" for interactions on the whole system).

    at: the moment of the request in UTC microseconds; without it nobody is related to any chart.
    Raises: FhirError("forbidden") when no scope allows the interaction on the type.
    """
    key = (interaction, resource_type)
    decision = principal.decisions.get(key)
    if decision is None:
        decision = principal.decisions[key] = _decide(principal, interaction, resource_type)
    return of_moment(principal, decision, at)


def of_moment(principal: Principal, decision: Decision, at: int | None) -> Decision:
    """A decision of the principal as of a moment, in UTC microseconds: relationships begin and end."""
    if at is None or not is_limited(principal):
        return decision
    return replace(
        decision, visible=replace(decision.visible, at=at), writable=replace(decision.writable, at=at)
    )


def is_limited(principal: Principal) -> bool:
    """Whether what the principal may see depends on relationships."""
    found: bool | None = principal.decisions.get("limited")
    if found is None:
        found = _may_be_limited(principal) and bool(limits_of(principal))
        principal.decisions["limited"] = found
    return found


def _may_be_limited(principal: Principal) -> bool:
    return acts_for_staff(principal) or any(scope.level == "user" for scope in principal.scopes)


def _decide(principal: Principal, interaction: str, resource_type: str) -> Decision:
    permission = PERMISSION[interaction]
    if not permission:
        return Decision(NOTHING)
    needed = _visibility(principal, permission)
    if not (needed.of(resource_type) if resource_type else any(needed.rules.values())):
        raise FhirError(
            "forbidden",
            f"The token's scopes do not allow {interaction}"
            + (f" on {resource_type}" if resource_type else ""),
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )
    if permission in _WRITES:
        # Who may create has not seen anything yet; who may change or delete knows what there is.
        seen = "rs" if permission == "c" else "rs" + permission
        return Decision(
            visible=_visibility(principal, seen),
            writable=needed,
            definitions=resource_type == _DEFINITIONS and _may_define(principal, permission),
        )
    return Decision(visible=needed, diagnostics=role(principal.role).console)


def _may_define(principal: Principal, permission: str) -> bool:
    """Whether a definition may take effect: for a `system/` scope, and for a user whose role has the
    console."""
    held = role(principal.role)
    of_user = principal.user is not None and held.console and permission in held.permissions(_DEFINITIONS)
    return any(
        (scope.level == "system" or (scope.level == "user" and of_user))
        and permission in scope.permissions
        and scope.resource_type in ("*", _DEFINITIONS)
        and not scope.criteria
        for scope in principal.scopes
    )


def referred_to(visible: Visibility) -> Visibility:
    """What may be seen of resources that one which is visible by `visible` refers to.

    Where all of it is compartments and what they refer to, that very reference is what a `referred` rule asks
    for, so it need not be looked for again. Elsewhere nothing changes: a reference of a resource that is
    visible for another reason opens nothing.
    """
    rules = [rule for every in visible.rules.values() for rule in every]
    if any(rule.patients is None and not rule.referred for rule in rules):
        return visible
    return replace(
        visible,
        rules={
            name: tuple(
                Rule(criteria=rule.criteria) if rule.referred and rule.patients is None else rule
                for rule in every
            )
            for name, every in visible.rules.items()
        },
    )


def may_write(
    decision: Decision,
    resource_type: str,
    rows: IndexRows,
    resource: Mapping[str, Any],
    keeps: Callable[[tuple[Limit, ...]], bool],
) -> bool:
    """Whether a new version may be written: it must lie wholly within what the decision can write.

    rows: the version's index rows. A version in the compartments of several patients needs a rule that
    reaches all of them: a token of one patient never writes into the chart of another. keeps: whether all these
    charts keep the limits of a rule; asked last, and only where there are any.
    """
    return any(
        (rule.patients is None or (bool(rows.compartments) and rule.patients.issuperset(rows.compartments)))
        and not rule.referred
        and _fulfils(rule.criteria, resource, rows)
        and (not rule.limits or keeps(rule.limits))
        for rule in decision.writable.of(resource_type)
    )


def _visibility(principal: Principal, permissions: str) -> Visibility:
    """What scopes carrying any of the permissions reach; worked out once for a principal."""
    found = principal.decisions.get(permissions)
    if found is None:
        found = principal.decisions[permissions] = _reach(principal, permissions)
    return found


def _reach(principal: Principal, permissions: str) -> Visibility:
    limits = limits_of(principal) if is_limited(principal) else ()
    reaches = [
        reach
        for scope in principal.scopes
        if (reach := _scope_reach(principal, scope, permissions, limits)) is not None
    ]
    if not reaches:
        return NOTHING
    rules: dict[str, tuple[Rule, ...]] = {}
    for resource_type in resource_types():
        found = tuple(dict.fromkeys(rule for reach in reaches for rule in reach(resource_type)))
        if found:
            rules[resource_type] = (Rule(),) if Rule() in found else found
    # One entry instead of 146 where nothing differs, so that the store's cache of predicates stays small.
    if len(rules) == len(resource_types()) and len(set(rules.values())) == 1:
        rules = {"*": next(iter(rules.values()))}
    return Visibility(rules, caller_of(principal) if limits else None)


_Reach = Callable[[str], Iterable[Rule]]


def _scope_reach(
    principal: Principal, scope: Scope, permissions: str, limits: tuple[Limit, ...]
) -> _Reach | None:
    """The rules one scope gives for a type, None where a missing claim closes the scope altogether."""
    letters = {letter for letter in permissions if letter in scope.permissions}
    if not letters:
        return None
    staff, held = acts_for_staff(principal), role(principal.role)
    writes = _WRITES.issuperset(letters)
    if held.partner and principal.organization is None and scope.level != "system":
        return None
    if scope.level == "patient":
        if principal.patient is None:
            return None
        patients = frozenset({principal.patient})

        def rules_of(resource_type: str, criteria: tuple[Clause, ...]) -> Iterable[Rule]:
            if staff and not letters.intersection(held.permissions(resource_type)):
                return
            if in_patient_compartment(resource_type):
                yield Rule(patients=patients, criteria=criteria, limits=limits if staff else ())
            elif resource_type in open_types() and not writes:
                yield Rule(criteria=criteria, referred=True)

    elif scope.level == "user":
        if principal.user is None:
            return None

        def rules_of(resource_type: str, criteria: tuple[Clause, ...]) -> Iterable[Rule]:
            if letters.intersection(held.permissions(resource_type)):
                yield from _within(limits, resource_type, criteria, writes)

    else:

        def rules_of(resource_type: str, criteria: tuple[Clause, ...]) -> Iterable[Rule]:
            yield Rule(criteria=criteria)

    def reach(resource_type: str) -> Iterable[Rule]:
        if scope.resource_type not in ("*", resource_type):
            return ()
        if principal.organization is not None and not _open_to_partners(resource_type, letters):
            return ()
        criteria = clauses(resource_type, scope.criteria)
        return () if criteria is None else rules_of(resource_type, criteria)

    return reach


def _within(
    limits: tuple[Limit, ...], resource_type: str, criteria: tuple[Clause, ...], writes: bool
) -> Iterable[Rule]:
    """The rule for a type within the limits of a person, none where it could never show anything.

    What is nobody's chart is open to all staff, but who is limited by what a type says does not write it. What
    is neither a chart's nor nobody's (a Binary, a Bundle) may be anybody's: for who is limited it is closed.
    """
    if not limits:
        yield Rule(criteria=criteria)
    elif resource_type in open_types():
        if not writes or resource_type not in relationship_policy().types:
            yield Rule(criteria=criteria)
    elif in_patient_compartment(resource_type) or all(limit.is_for_some for limit in limits):
        yield Rule(criteria=criteria, limits=limits)


def _open_to_partners(resource_type: str, letters: Iterable[str]) -> bool:
    """Whether a partner may do this to a type: read what is nobody's chart.

    Charts are closed to partners altogether as long as nothing here says what of them a patient's consent and
    the partner's agreement let out (`policy/partner_agreements.json`): a relationship alone is no permission.
    """
    return resource_type in open_types() and not _WRITES.issuperset(letters)


@lru_cache(maxsize=4096)
def clauses(resource_type: str, criteria: tuple[tuple[str, str], ...]) -> tuple[Clause, ...] | None:
    """The search clauses of a granular scope's criteria, None where they say nothing of the type.

    A criterion is one search parameter of the type itself: no chain, no `_has`, nothing that shapes a result,
    and nothing whose meaning is stored (`:in`, `:below`, a search parameter that was defined here): who may
    write value sets and definitions would decide on access.
    """
    if not criteria:
        return ()
    try:
        query = parse_search(resource_type, criteria)
    except FhirError:
        return None
    found = tuple(condition for condition in query.conditions if isinstance(condition, Clause))
    return found if len(found) == len(criteria) and not is_unresolved(query) else None


def resource_types() -> frozenset[str]:
    """All resource types of R4 that can be stored."""
    return frozenset(RESOURCE_TYPES)


def _fulfils(criteria: tuple[Clause, ...], resource: Mapping[str, Any], rows: IndexRows) -> bool:
    return all(matches(Indexed(resource, rows), clause) for clause in criteria)
