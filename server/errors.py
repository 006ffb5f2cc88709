"""FHIR errors: a closed set of kinds, their HTTP status and their issue code, and the OperationOutcome.

FhirError
 +- one class for all kinds; `kind` selects a row of KINDS

No other module builds an OperationOutcome. Texts name the thing and the rule, never a value from
patient data. Sources: hl7.org/fhir/R4/http.html#Status-Codes, hl7.org/fhir/R4/operationoutcome.html,
valueset-issue-type.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["fatal", "error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue.

    code: a code of the value set issue-type. diagnostics: plain words without patient data.
    expression: FHIRPath of the element, e.g. "Patient.name[0].given[1]", or "" when none applies.
    """

    code: str
    diagnostics: str
    expression: str = ""
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Kind:
    """retry_after: seconds after which the same request may well succeed, 0 where it never will by waiting."""

    status: int
    code: str
    retry_after: int = 0


# Kind of error -> HTTP status and issue-type code. Add a row, never a special case elsewhere.
KINDS: dict[str, Kind] = {
    "invalid-json": Kind(400, "structure"),
    "invalid-request": Kind(400, "invalid"),
    "invalid-resource": Kind(400, "invalid"),  # does not conform to the base specification
    "invalid-search": Kind(400, "value"),
    "unsupported-search": Kind(400, "not-supported"),
    "not-ready": Kind(400, "transient", retry_after=60),  # a search whose index is being made
    "required": Kind(400, "required"),
    "unauthorized": Kind(401, "login"),
    "forbidden": Kind(403, "forbidden"),
    "not-found": Kind(404, "not-found"),
    "unknown-type": Kind(404, "not-supported"),
    "unknown-operation": Kind(404, "not-supported"),
    "method-not-allowed": Kind(405, "not-supported"),
    "not-acceptable": Kind(406, "not-supported"),
    "request-timeout": Kind(408, "timeout"),
    "conflict": Kind(409, "conflict"),
    "deleted": Kind(410, "deleted"),
    "precondition-failed": Kind(412, "conflict"),
    "multiple-matches": Kind(412, "multiple-matches"),
    "too-large": Kind(413, "too-long"),
    "uri-too-long": Kind(414, "too-long"),
    "unsupported-media-type": Kind(415, "not-supported"),
    "misdirected": Kind(421, "invalid"),
    "unprocessable": Kind(422, "processing"),
    "not-determinable": Kind(422, "not-supported"),  # by the definitions that are known here
    "business-rule": Kind(422, "business-rule"),
    "too-costly": Kind(422, "too-costly"),
    "precondition-required": Kind(428, "required"),
    "throttled": Kind(429, "throttled", retry_after=5),
    "headers-too-large": Kind(431, "too-long"),
    "internal": Kind(500, "exception"),
    "not-implemented": Kind(501, "not-supported"),
    "unavailable": Kind(503, "transient", retry_after=5),
    "storage-full": Kind(507, "no-store"),
}


@dataclass(eq=False)
class FhirError(Exception):
    """An interaction that cannot be completed, with everything its answer needs.

    kind: a key of KINDS. issues: given explicitly, or made from `diagnostics` and `expression`.
    headers: extra response headers, e.g. {"WWW-Authenticate": ...}.
    """

    kind: str
    diagnostics: str = ""
    expression: str = ""
    issues: tuple[Issue, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.issues:
            self.issues = (Issue(KINDS[self.kind].code, self.diagnostics or self.kind, self.expression),)
        if retry_after := KINDS[self.kind].retry_after:
            self.headers.setdefault("Retry-After", str(retry_after))
        Exception.__init__(self, self.kind)

    @property
    def status(self) -> int:
        """The HTTP status of this error."""
        return KINDS[self.kind].status

    def outcome(self) -> dict[str, Any]:
        """The OperationOutcome that answers this error."""
        return operation_outcome(self.issues)


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource of the given issues, in their order.

    issues: at least one. Source: hl7.org/fhir/R4/operationoutcome.html
    """
    rows: list[dict[str, Any]] = []
    for issue in issues:
        row: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
        if issue.diagnostics:
            row["diagnostics"] = issue.diagnostics
        if issue.expression:
            row["expression"] = [issue.expression]
        rows.append(row)
    return {"resourceType": "OperationOutcome", "issue": rows}
