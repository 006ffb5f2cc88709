"""JSON Patch and JSON Merge Patch on a resource (pure).

The operations are those of the library jsonpatch; here they are counted, bounded and named in what goes wrong.
Sources: RFC 6902 (JSON Patch), RFC 6901 (JSON Pointer), RFC 7396 (JSON Merge Patch),
hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.fhir.patch_rules import OPERATIONS_MAXIMUM, IdentityGuard, identity_of

Json = dict[str, Any]

POINTER_MAXIMUM = 1_000  # characters of a JSON Pointer
COPIED_MAXIMUM = 1_000_000  # bytes of JSON that the operations of one patch copy
_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}


def apply_json_patch(resource: Json, operations: list[Any]) -> Json:
    """The resource after all operations, applied in their order; the resource given may be changed by it.

    Numbers keep their digits.
    Raises: FhirError invalid-request (not a JSON Patch), too-costly (too many operations, too much is copied),
    unprocessable (an operation cannot be applied, a test fails, or what identifies the resource changes); the
    expression `patch[n]` names the operation.
    """
    import jsonpatch  # only here: most processes never patch

    if len(operations) > OPERATIONS_MAXIMUM:
        raise FhirError("too-costly", f"a patch may have {OPERATIONS_MAXIMUM} operations")
    for number, operation in enumerate(operations):
        _check(operation, f"patch[{number}]")
    guard, copied = IdentityGuard(identity_of(resource)), 0
    result: Any = resource
    for number, operation in enumerate(operations):
        place = f"patch[{number}]"
        try:
            if operation["op"] == "copy":
                copied += len(encode(jsonpatch.JsonPointer(operation["from"]).resolve(result)))
                if copied > COPIED_MAXIMUM:
                    raise FhirError("too-costly", f"a patch may copy {COPIED_MAXIMUM} bytes", place)
            result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
        except jsonpatch.JsonPatchTestFailed:
            raise FhirError("unprocessable", "the test fails", place) from None
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, RecursionError):
            # The library's texts repeat values; copies of copies can nest deeper than Python goes.
            raise FhirError("unprocessable", _cannot(operation["op"]), place) from None
        guard.after(identity_of(result), place)
    guard.check()
    kept: Json = result
    return kept


def _check(operation: Any, place: str) -> None:
    if not isinstance(operation, dict):
        raise FhirError("invalid-request", "an operation of a JSON Patch is an object", place)
    op = operation.get("op")
    if not isinstance(op, str) or op not in _MEMBERS:
        raise FhirError("invalid-request", f"op is one of {', '.join(_MEMBERS)}", f"{place}.op")
    for member in _MEMBERS[op]:
        if member not in operation:
            raise FhirError("required", f"{op} needs {member}", place)
        if member == "value":
            continue
        pointer = operation[member]
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
            raise FhirError("invalid-request", f"{member} is a JSON Pointer", f"{place}.{member}")
        if len(pointer) > POINTER_MAXIMUM:
            raise FhirError(
                "invalid-request", f"a JSON Pointer may have {POINTER_MAXIMUM} characters", f"{place}.{member}"
            )


def _cannot(op: str) -> str:
    return f"{op} cannot be applied: there is no such place in the resource, or it does not take this"


def apply_merge_patch(resource: Json, changes: Json) -> Json:
    """The resource with the changes merged into it: null removes, objects are merged, all else replaces.

    Raises: FhirError unprocessable where what identifies the resource changes.
    """
    guard = IdentityGuard(identity_of(resource))
    result: Json = _merged(resource, changes)
    guard.after(identity_of(result), "")
    guard.check()
    return result


def _merged(target: Any, changes: Any) -> Any:
    if not isinstance(changes, Mapping):
        return changes
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
