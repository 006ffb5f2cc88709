"""A datatype function: a repetition of a field in, an element of FHIR out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition
    from mappings.scope import Scope


@dataclass(frozen=True, slots=True)
class Function:
    """What a map names with `using:`.

    call: pure; never raises for content; None where nothing can be made of the value. Answers FHIR JSON (dict,
    str, bool, int, `decimal.Decimal`).
    result: FHIR type of the answer: `Identifier`, `code`, ...; `Reference(Location)` may come with further
    resources in the scope's account; `value[x]` answers a dict of one member that is named with its type
    (`valueQuantity`) and joins the parent element. takes: datatypes of HL7 v2 whose components it reads;
    `*`: any.
    table: `required` or `allowed` if the function also takes the name of a code table, "" if not.
    unmapped: components (numbers) that it leaves alone on purpose: FHIR has no place for them.
    """

    name: str
    call: Callable[..., Any]
    result: str
    takes: frozenset[str]
    table: str = ""
    unmapped: frozenset[int] = frozenset()

    def __call__(self, value: Repetition, scope: Scope, table: str = "") -> Any:
        """The element that the value becomes; `table` only for those that take one."""
        return self.call(value, scope, table) if self.table else self.call(value, scope)
