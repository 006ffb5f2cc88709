"""The id token that another EHR gave our app, judged before anything is exchanged for it.

The issuer says which algorithms and keys count; the token's header only picks one of them. What a refused token
breaks is told to the audit trail, never to the client.
Sources: OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725, RFC 8693 section 2.1,
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-identity-data
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from server.auth.context import AuthContext
from server.auth.unverified_token import take_apart
from server.storage.identity_link_rows import IssuerRow

OLDEST = timedelta(minutes=5)  # of `iat`
STAFF_TYPES = ("Practitioner", "PractitionerRole")
_LIMIT = 8_192  # characters of a token
_LONGEST = 255  # of a claim that is kept
_LONGEST_NAME = 200
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_KEY_TYPE: dict[str, tuple[type, str]] = {
    "RS256": (RSAKey, ""),
    "RS384": (RSAKey, ""),
    "ES256": (ECKey, "P-256"),
    "ES384": (ECKey, "P-384"),
}


class SubjectRefused(Exception):
    """The token does not hold. reason: a word for the audit trail."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKey(SubjectRefused):
    """The token names a key that its issuer did not publish when it was last asked."""

    def __init__(self, issuer: IssuerRow) -> None:
        super().__init__("kid")
        self.issuer = issuer


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a good token speaks of.

    users: names by which a staff link may know the person: "Practitioner/ID" or "PractitionerRole/ID" there,
    then "npi|NUMBER". once: names the token, whatever way it is written. forget: when it can be forgotten that
    it was used. patient: a `patient` claim; display: what the EHR calls the user; "" without one.
    """

    issuer: IssuerRow
    users: tuple[str, ...]
    once: str
    forget: datetime
    patient: str = ""
    display: str = ""


def judge(context: AuthContext, token: str, nonce: str, client_id: str) -> Subject:
    """The subject of a token that one of our clients brings from a launch with this nonce.

    Whether it was used before is not judged here. Raises: SubjectRefused.
    """
    header, claims = _take_apart(token)
    issuer = _issuer(context, claims.get("iss"))
    if client_id not in issuer.clients:
        raise SubjectRefused("client")
    key = _key(issuer, header)
    try:
        jws.deserialize_compact(token.encode("ascii"), key, algorithms=[header["alg"]])
    except (JoseError, ValueError, TypeError):  # a TypeError: of a header member that is no text
        raise SubjectRefused("signature") from None
    _judge_audience(claims, issuer)
    given = claims.get("nonce")
    if not nonce or not isinstance(given, str) or not hmac.compare_digest(_bytes(given), _bytes(nonce)):
        raise SubjectRefused("nonce")
    issued = _judge_times(context, claims)
    patient = claims.get("patient", "")
    return Subject(
        issuer=issuer,
        users=tuple(_users(claims, issuer)),
        once=_once(claims, token),
        forget=issued + OLDEST + context.lifetimes.clock_skew + timedelta(minutes=1),
        patient=patient.rpartition("/")[2] if isinstance(patient, str) else "?",
        display=display_text(claims.get("name")),
    )


def display_text(value: Any) -> str:
    """A person's name as somebody else wrote it, on one line and short; "" for anything else."""
    words = (
        "".join(letter if letter.isprintable() else " " for letter in value) if isinstance(value, str) else ""
    )
    return " ".join(words.split())[:_LONGEST_NAME]


def _take_apart(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not yet verified."""
    try:
        return take_apart(token, _LIMIT)
    except ValueError:
        raise SubjectRefused("form") from None


def _issuer(context: AuthContext, name: Any) -> IssuerRow:
    known = isinstance(name, str) and 0 < len(name) <= _LONGEST and name.isascii() and name.isprintable()
    row = context.store.identity_links.issuer(name) if known else None
    if row is None or row.disabled:
        raise SubjectRefused("issuer")
    return row


def _key(issuer: IssuerRow, header: dict[str, Any]) -> RSAKey | ECKey:
    """The issuer's key that the header names, where its algorithm is one of the issuer's."""
    if "crit" in header or "b64" in header:  # RFC 7515 section 4.1.11: nothing beyond it is understood here
        raise SubjectRefused("form")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise SubjectRefused("algorithm")
    kind, curve = _KEY_TYPE[algorithm]
    for row in issuer.jwks.get("keys", ()):
        if row["kid"] != kid or row.get("alg", algorithm) != algorithm:
            continue
        try:
            key = KeySet.import_key_set({"keys": [row]}).keys[0]
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey) and isinstance(key, kind) and row.get("crv", "") == curve:
            return key
    raise UnknownKey(issuer)


def _judge_audience(claims: dict[str, Any], issuer: IssuerRow) -> None:
    """Our client there, alone or as the authorized party."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if issuer.audience not in audiences:
        raise SubjectRefused("audience")
    party = claims.get("azp")
    if (len(audiences) > 1 or party is not None) and party != issuer.audience:
        raise SubjectRefused("audience")


def _judge_times(context: AuthContext, claims: dict[str, Any]) -> datetime:
    """When it was issued: at most five minutes ago, and it has not expired."""
    now, skew = context.clock(), context.lifetimes.clock_skew
    issued, expires = _time(claims.get("iat")), _time(claims.get("exp"))
    if issued is None or expires is None or expires <= now:
        raise SubjectRefused("expired")
    if not now - OLDEST <= issued <= now + skew:
        raise SubjectRefused("iat")
    begins = claims.get("nbf")
    if begins is not None and ((moment := _time(begins)) is None or moment > now + skew):
        raise SubjectRefused("iat")
    return issued


def _time(value: Any) -> datetime | None:
    # The largest is the year 9999; a bool is an int to Python but no time.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253_402_300_800:
        return None
    return datetime.fromtimestamp(value, UTC)


def _users(claims: dict[str, Any], issuer: IssuerRow) -> list[str]:
    found = []
    user = claims.get("fhirUser")
    if isinstance(user, str):
        resource_type, _, id = user.removeprefix(f"{issuer.fhir_base}/").partition("/")
        if resource_type in STAFF_TYPES and _ID.fullmatch(id):
            found.append(f"{resource_type}/{id}")
    number = claims.get(issuer.npi_claim) if issuer.npi_claim else None
    if is_npi(number):
        found.append(f"npi|{number}")
    if not found:
        raise SubjectRefused("user")
    return found


def is_npi(number: Any) -> bool:
    """Whether a text is a National Provider Identifier: ten digits, the last by Luhn over 80840 and the others.

    Source: 45 CFR 162.406; ISO/IEC 7812 check digit.
    """
    if not isinstance(number, str) or not re.fullmatch(r"[0-9]{10}", number):
        return False
    digits = [int(digit) for digit in reversed("80840" + number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _once(claims: dict[str, Any], token: str) -> str:
    """Its jti, else the digest of what was signed: a signature can be written in more than one way."""
    jti = claims.get("jti")
    if isinstance(jti, str) and 0 < len(jti) <= _LONGEST and jti.isprintable():
        return f"jti {jti}"
    return f"sha256 {sha256(token.rpartition('.')[0].encode('ascii')).hexdigest()}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
