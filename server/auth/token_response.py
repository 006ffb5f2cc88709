"""What the token endpoint answers besides the tokens: launch context and the id token.

Sources: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (launch context, fhirUser),
OpenID Connect Core 1.0 section 2.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

from server.auth.context import AuthContext
from server.auth.smart_style import style_url
from server.storage.authorization import GrantRow


def launch_context(context: AuthContext, grant: GrantRow) -> dict[str, Any]:
    """patient, encounter, intent, fhirContext, tenant, banner and style, as far as the grant has them."""
    parameters: dict[str, Any] = {}
    if grant.patient is not None:
        parameters["patient"] = grant.patient
    if grant.encounter is not None:
        parameters["encounter"] = grant.encounter
    for name in ("intent", "fhirContext", "tenant"):
        if grant.context.get(name):
            parameters[name] = grant.context[name]
    if grant.username:
        # An app shows the patient's banner itself unless the EHR says that its own is in sight.
        parameters["need_patient_banner"] = grant.context.get("need_patient_banner", True)
        parameters["smart_style_url"] = style_url(context.base_url)
    return parameters


def identity_claims(context: AuthContext, grant: GrantRow, scope: str) -> dict[str, Any]:
    """iss, sub and, where it was granted, fhirUser of the user; {} without `openid`."""
    words = scope.split()
    if "openid" not in words or not grant.username:
        return {}
    claims: dict[str, Any] = {"iss": context.base_url, "sub": grant.username}
    if grant.fhir_user and "fhirUser" in words:
        claims["fhirUser"] = f"{context.fhir_base}/{grant.fhir_user}"
    return claims


def id_token(
    context: AuthContext, grant: GrantRow, scope: str, nonce: str, auth_time: datetime | None, access_token: str
) -> str:
    """The signed id token; "" without `openid`. access_token: the one it is given with, bound by `at_hash`."""
    claims = identity_claims(context, grant, scope)
    if not claims:
        return ""
    now = context.clock()
    claims |= {
        "aud": grant.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + context.lifetimes.id_token).timestamp()),
        "at_hash": _at_hash(access_token),
    }
    if nonce:
        claims["nonce"] = nonce
    if auth_time is not None:
        claims["auth_time"] = int(auth_time.timestamp())
    return context.keys.sign(claims)


def _at_hash(access_token: str) -> str:
    """OpenID Connect Core 1.0 section 3.1.3.6, for RS256: the left half of the SHA-256 digest."""
    half = hashlib.sha256(access_token.encode("ascii")).digest()[:16]
    return urlsafe_b64encode(half).rstrip(b"=").decode("ascii")
