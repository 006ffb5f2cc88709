"""One resource that a message concerns: as it is stored, and as it is to become."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from mappings.result import Intent
from server.hl7v2.finding import Current
from server.hl7v2.joining import Json, same
from server.storage.hl7v2_identities import Known


@dataclass(slots=True)
class Draft:
    """One resource. current: what is stored. said: what it is to be, None as long as nothing new is said of it.

    known: of what moment and rank what is stored is. hashes: identities that lead to it from now on. asked: of
    a new one, the intent it is made by. touched: something of this message was applied to it.
    """

    resource_type: str
    id: str
    current: Current
    known: Known
    said: Json | None = None
    hashes: set[int] = field(default_factory=set)
    asked: Intent | None = None
    touched: bool = False

    @property
    def reference(self) -> str:
        return f"{self.resource_type}/{self.id}"

    @property
    def there(self) -> bool:
        """Whether it is stored, or made by this message."""
        return self.said is not None or self.current.there

    @property
    def content(self) -> Json:
        """As it is to be; {} for what is not there."""
        return self.said if self.said is not None else self.current.content or {}

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        if self.said is None:
            return False
        stored = self.current.content
        return stored is None or not same(stored, self.said)

    @property
    def version(self) -> int:
        """The version that is replaced, 0 where there is none."""
        return self.current.version if self.current.there else 0

    @property
    def written(self) -> str:
        """The version that is written, as a reference."""
        return f"{self.reference}/_history/{self.current.version + 1}"


class Outcome(Struct, frozen=True, gc=False):
    """What became of an intent: created, updated, unchanged, kept (there already, and this message does not
    change it), stale (newer is stored), lower-status, absent (nothing there to retire). reference: Type/id."""

    intent: str
    outcome: str
    reference: str = ""
