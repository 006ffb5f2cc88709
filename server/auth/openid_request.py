"""What OpenID Connect asks of an authorization request (pure).

A parameter that would change the meaning of the request and is not understood is refused, never passed over.
Source: OpenID Connect Core 1.0 sections 3.1.2.1, 3.1.2.6, 6; OAuth 2.0 Multiple Response Types section 2.1
"""

from __future__ import annotations

from collections.abc import Mapping

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError

# Parameters that hand over the request in another form -> the error that says that it is not read.
_UNSUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}
_MOST_DIGITS = 10  # of max_age: some 300 years


def check_openid_parameters(form: Mapping[str, str]) -> None:
    """Refuse an authorization request that asks for what cannot be given.

    Raises: OAuth2Error with the code that the standard names.
    """
    for name, error in _UNSUPPORTED.items():
        if form.get(name):
            raise OAuth2Error(f"The parameter {name} is not read here.", error=error)
    if form.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query.")
    prompts = form.get("prompt", "").split()
    if "none" in prompts and len(set(prompts)) > 1:
        raise InvalidRequestError("prompt none stands alone.")
    maximum = form.get("max_age")
    if maximum and (not maximum.isascii() or not maximum.isdigit() or len(maximum) > _MOST_DIGITS):
        raise InvalidRequestError("max_age is a number of seconds.")
