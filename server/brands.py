"""What the site publishes of itself for apps of patients: brands and endpoints, from `BATON_HOME/brands.json`.

The file is a FHIR Bundle as the standard describes it; what can be known without it is filled in: the Bundle's
`timestamp` (when the file changed) and the `address` of an Endpoint that names none (this server's). The first
identifier of the first Organization is the primary brand's.
Source: hl7.org/fhir/smart-app-launch/STU2.2/brands.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import decode, encode
from server.fhir.references import iter_references
from server.fhir.validation import validate

FILE = "brands.json"
PATH = "/fhir/.well-known/brands.json"
_FHIR_VERSION = "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version"
_CONNECTION = "hl7-fhir-rest"


class BrandError(Exception):
    """The site's brands cannot be published; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Brand:
    """bundle: as served. identifier: of the primary brand ({"value", "system"?}). etag: weak, in quotes."""

    bundle: bytes
    identifier: Mapping[str, str]
    etag: str


def discovery_members(brand: Brand | None, base_url: str) -> dict[str, Any]:
    """`user_access_brand_bundle` and `user_access_brand_identifier`, where the site publishes a brand."""
    if brand is None:
        return {}
    return {
        "user_access_brand_bundle": base_url + PATH,
        "user_access_brand_identifier": dict(brand.identifier),
    }


def read_brand(home: Path, fhir_base: str, *, demo: bool) -> Brand | None:
    """The brand of a deployment; None where the site has written none. demo: then a synthetic one.

    Raises: BrandError.
    """
    path = home / FILE
    try:
        content, changed = path.read_bytes(), datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    except FileNotFoundError:
        if not demo:
            return None
        content, changed = (
            files("server.demo_data").joinpath(FILE).read_bytes(),
            datetime(2026, 1, 1, tzinfo=UTC),
        )
    except OSError as error:
        raise BrandError(f"{FILE} in BATON_HOME cannot be read: {error.strerror}") from None
    try:
        bundle = decode(content)
    except FhirError as error:
        raise _fault(error.issues[0].diagnostics) from None
    return brand(bundle, fhir_base, changed)


def brand(bundle: Any, fhir_base: str, changed: datetime) -> Brand:
    """The brand that a Bundle describes. changed: its timestamp where it has none. Raises: BrandError."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise _fault("it is not a Bundle")
    if not isinstance(bundle.get("entry"), list):
        raise _fault("it has no entries")
    resources = [_object(_object(entry).get("resource")) for entry in bundle["entry"]]
    organizations = [row for row in resources if row.get("resourceType") == "Organization"]
    endpoints = [row for row in resources if row.get("resourceType") == "Endpoint"]
    if not organizations or len(organizations) + len(endpoints) != len(resources):
        raise _fault("its entries are Organizations, one at least, and Endpoints")
    bundle.setdefault("timestamp", changed.isoformat())
    for endpoint in endpoints:
        endpoint.setdefault("address", fhir_base)
    if issues := validate(bundle):
        at = f" at {issues[0].expression[0]}" if issues[0].expression else ""
        raise _fault(f"it is not valid FHIR R4: {issues[0].diagnostics}{at}")
    _check_profiles(bundle, organizations, endpoints)
    identifier = _primary(organizations)
    body = encode(bundle)
    return Brand(body, identifier, f'W/"{hashlib.sha256(body).hexdigest()[:32]}"')


def _check_profiles(bundle: Any, organizations: list[Any], endpoints: list[Any]) -> None:
    """What the profiles of brands ask for beyond R4. The Bundle is valid. Raises: BrandError."""
    if bundle["type"] != "collection":
        raise _fault("its type is collection")
    for organization in organizations:
        if not organization.get("name"):
            raise _fault("every Organization has a name")
        if not any(point.get("system") == "url" for point in organization.get("telecom", ())):
            raise _fault("every Organization has a telecom with system url: its website")
    for endpoint in endpoints:
        if endpoint["connectionType"].get("code") != _CONNECTION:
            raise _fault(f"connectionType of every Endpoint is {_CONNECTION}")
        if not any(extension["url"] == _FHIR_VERSION for extension in endpoint.get("extension", ())):
            raise _fault("every Endpoint has the extension endpoint-fhir-version")
    known = {f"{row['resourceType']}/{row['id']}" for row in (*organizations, *endpoints) if row.get("id")}
    for organization in organizations:
        for _, element in iter_references(organization):
            reference = element.get("reference", "")
            if reference.startswith("Endpoint/") and reference not in known:
                raise _fault("an Organization refers to an Endpoint that the Bundle does not hold")


def _primary(organizations: list[Any]) -> dict[str, str]:
    """The identifier that no other Organization has. Raises: BrandError."""
    first: dict[str, Any] = next(iter(organizations[0].get("identifier", ())), {})
    identifier = {name: first[name] for name in ("system", "value") if isinstance(first.get(name), str)}
    if "value" not in identifier:
        raise _fault("the first Organization has an identifier with a value: the primary brand's")
    held = [
        found
        for organization in organizations
        for found in organization.get("identifier", ())
        if all(found.get(name) == identifier.get(name) for name in ("system", "value"))
    ]
    if len(held) != 1:
        raise _fault("the primary brand's identifier is on one Organization alone")
    return identifier


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fault(text: str) -> BrandError:
    return BrandError(f"{FILE} in BATON_HOME cannot be published: {text}")
