"""Who may read the audit trail: part of the access decision, for the one row source that is no resource (pure).

The trail is readable as a whole or not at all: a row names other patients and the staff, so no rule about a
patient or a criterion can cut it to size.
"""

from __future__ import annotations

from dataclasses import replace

from server.auth.access import Decision, decide, of_moment
from server.auth.principal import Principal
from server.auth.scopes import Scope
from server.errors import FhirError
from server.fhir.unstored import UNSTORED
from server.fhir.visibility import Visibility
from server.policy.audit_readers import audit_readers
from server.policy.roles import role

TYPE = "AuditEvent"


def require_audit_reader(principal: Principal, permission: str) -> None:
    """Let only readers of the audit trail pass. permission: r (one event) or s (searching).

    Raises: FhirError forbidden.
    """
    if not may_read_audit(principal, permission):
        raise FhirError(
            "forbidden",
            "The audit trail is open to a user/ scope of a role that reads AuditEvents, and to a system/ scope"
            " that names AuditEvent; not to granular scopes",
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )


def decide_stored(
    principal: Principal, interaction: str, resource_type: str = "", *, at: int | None = None
) -> Decision:
    """`access.decide`, of resources that are stored: whatever lies under the name of a type that is not (a
    client of an earlier release could store AuditEvents) is visible and writable to nobody.

    Raises: as `decide`.
    """
    key = (interaction, resource_type, "stored")
    decision = principal.decisions.get(key)
    if decision is None:
        found = decide(principal, interaction, resource_type)
        decision = replace(found, visible=_stored(found.visible), writable=_stored(found.writable))
        principal.decisions[key] = decision
    return of_moment(principal, decision, at)


def _stored(visible: Visibility) -> Visibility:
    shown = [name for name in UNSTORED if visible.of(name)]
    return replace(visible, rules={**visible.rules, **dict.fromkeys(shown, ())}) if shown else visible


def may_read_audit(principal: Principal, permission: str) -> bool:
    """Whether a principal may read one event (r) or search them (s)."""
    policy = audit_readers()
    if principal.organization is not None and principal.organization not in policy.organizations:
        return False
    return any(_opens(principal, scope, permission) for scope in principal.scopes)


def _opens(principal: Principal, scope: Scope, permission: str) -> bool:
    level = audit_readers().levels.get(scope.level)
    if level is None or not level.opens or scope.criteria or permission not in scope.permissions:
        return False
    if scope.resource_type != TYPE and (level.named or scope.resource_type != "*"):
        return False
    if scope.level != "user":
        return True
    return principal.user is not None and permission in role(principal.role).permissions(TYPE)
