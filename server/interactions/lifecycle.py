"""The lifecycle of what is written: a version may follow the current one only as its machine allows.

Rules and data: `server.policy.lifecycle`.
"""

from __future__ import annotations

from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.acting import acting
from server.interactions.call import Call
from server.policy.lifecycle import is_governed, judge
from server.storage.interface import Writer
from server.storage.versions import StoredVersion


def check_lifecycle(call: Call[Writer], current: StoredVersion | None, content: dict[str, Any]) -> None:
    """The content may follow the current version. What is new, or was deleted, starts in any state.

    What a system of record tells (`Context.of_record`) has happened already and is not judged.

    Raises: FhirError business-rule, naming the rule and what it allows.
    """
    if current is None or current.deleted or call.context.of_record or not is_governed(current.resource_type):
        return
    if issues := judge(decode(current.body), content, acting(call)):
        raise FhirError("business-rule", issues=issues)
