"""What holds of every patch, whatever its format: it is no way to become another resource (pure).

Source: hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.errors import FhirError

OPERATIONS_MAXIMUM = 1_000  # of one patch

_KEPT = ("resourceType", "id", "meta.versionId", "meta.lastUpdated")

# The values of _KEPT.
Identity = tuple[Any, Any, Any, Any]


def identity_of(resource: Any) -> Identity:
    """What identifies a resource and its version; None for what is not there."""
    content = resource if isinstance(resource, dict) else {}
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    return content.get("resourceType"), content.get("id"), meta.get("versionId"), meta.get("lastUpdated")


@dataclass(slots=True)
class IdentityGuard:
    """Watches over the operations of a patch.

    before: of the resource as it was. place: the operation since which it is another one, "" for none.
    """

    before: Identity
    place: str = ""
    element: str = ""

    def after(self, now: Identity, place: str) -> None:
        """Note what an operation has left. Version and moment may be missing: the server sets them anew."""
        changed = ""
        for name, was, is_ in zip(_KEPT, self.before, now, strict=True):
            if is_ != was and not (is_ is None and name.startswith("meta.")):
                changed = name
                break
        if not changed:
            self.place = self.element = ""
        elif not self.element:
            self.place, self.element = place, changed

    def check(self) -> None:
        """Raises: FhirError unprocessable where the patch leaves another identity than it found."""
        if self.element:
            raise FhirError("unprocessable", f"a patch cannot change {self.element}", self.place)
