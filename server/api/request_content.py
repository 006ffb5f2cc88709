"""The content of a request, received and read as its interaction takes it.

Source: hl7.org/fhir/R4/http.html#mime-type, #transaction
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from server.api.headers import FORM, Pairs, check_content_type, read_query, split_general
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.patch_formats import read_patch
from server.interactions.request import Limits, Patch

ReadBody = Callable[[int], bytes | None]
"""The body up to a number of bytes, None where it is longer."""

_BUNDLES = ("batch", "transaction")


class _Head(msgspec.Struct):
    """What has to be known of a Bundle before it is read."""

    resourceType: str = ""
    type: str = ""


_head = msgspec.json.Decoder(_Head).decode


def read_resource(
    limits: Limits, content_type: str, read_body: ReadBody, interaction: str
) -> tuple[str, dict[str, Any]]:
    """The interaction, which a Bundle sent to the base names by its type, and the decoded body.

    Raises: FhirError unsupported-media-type, too-large, required, too-costly, invalid-json, invalid-request.
    """
    check_content_type(content_type)
    # A Bundle that is stored as a resource is one resource; only one that is processed may be larger.
    whole = interaction == "bundle"
    raw = _received(read_body, limits.bundle_bytes if whole else limits.body_bytes)
    most = limits.bundle_elements if whole else limits.elements
    body = decode(raw, max_nesting=limits.nesting, max_elements=most)
    if not whole:
        return interaction, body
    return _bundle_type(body.get("resourceType"), body.get("type")), body


def read_patch_body(limits: Limits, content_type: str, read_body: ReadBody) -> Patch:
    """The patch that is to be applied, of whatever format.

    Raises: FhirError unsupported-media-type, too-large, required, too-costly, invalid-json, invalid-request.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    patch = read_patch(media_type, _received(read_body, limits.body_bytes), limits)
    check_content_type(content_type, (media_type,))
    return patch


def read_large_bundle(limits: Limits, content_type: str, read_body: ReadBody) -> tuple[str, bytes]:
    """The interaction and the body of a Bundle that is processed later, and decoded only then.

    Raises: as `read_resource`.
    """
    check_content_type(content_type)
    raw = _received(read_body, limits.async_bundle_bytes).removeprefix(b"\xef\xbb\xbf")
    try:
        head = _head(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FhirError("invalid-json", "The body is not a Bundle in JSON.") from None
    return _bundle_type(head.resourceType, head.type), raw


def read_form(limits: Limits, content_type: str, read_body: ReadBody) -> Pairs:
    """The parameters of a search that were sent as a form.

    Raises: FhirError too-large, unsupported-media-type, invalid-request, too-costly.
    """
    raw = _within(read_body, limits.body_bytes)
    if not raw:
        return ()
    check_content_type(content_type or FORM, (FORM,))
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise FhirError("invalid-request", f"{FORM} is ASCII with percent-encoding") from None
    # General parameters of the body count as well, but the media type was settled by the URL and Accept.
    return split_general(read_query(text, limits.query_parameters))[0]


def _received(read_body: ReadBody, most: int) -> bytes:
    raw = _within(read_body, most)
    if not raw:
        raise FhirError("required", "the request has no body")
    return raw


def _within(read_body: ReadBody, most: int) -> bytes:
    raw = read_body(most)
    if raw is None:
        raise FhirError("too-large", f"the body may have {most} bytes at most")
    return raw


def _bundle_type(resource_type: Any, type: Any) -> str:
    if resource_type != "Bundle":
        raise FhirError("invalid-request", "only a Bundle can be sent to the base URL", "resourceType")
    if type not in _BUNDLES:
        raise FhirError("invalid-request", "only a batch or a transaction can be processed here", "Bundle.type")
    return str(type)
