"""TLS of the listener: the server's certificate, who may connect by theirs, and new files without a restart.

Sources: RFC 5246, RFC 8446; RFC 6125 section 6.4.4 and RFC 9525 (names of a certificate)
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Certificates:
    """The context that connections are accepted with.

    cert, key: PEM files. client_ca: PEM file of the authorities whose client certificates are demanded, "" for
    none. Raises: OSError (ssl.SSLError is one), ValueError for files that cannot be used.
    """

    def __init__(self, cert: str, key: str, client_ca: str = "") -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self.context = self._make()
        self._seen = self._state()

    def reload(self) -> bool:
        """Take up files that have changed, for connections from now on; whether there were any.

        Files that cannot be used are left for the next time; what was loaded stays.
        Raises: OSError, ValueError then.
        """
        state = self._state()
        if state == self._seen:
            return False
        self._make()  # all of it must be usable before any of it counts
        self.context.load_cert_chain(self._cert, self._key)
        if self._client_ca:
            self.context.load_verify_locations(self._client_ca)
        self._seen = state
        return True

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._cert, self._key)
        if self._client_ca:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        files = [Path(name).stat() for name in (self._cert, self._key, self._client_ca) if name]
        return tuple((file.st_ino, file.st_mtime_ns, file.st_size) for file in files)


def names_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names in a verified certificate, as `SSLObject.getpeercert` gives it: subject alternative names, then
    the subject's common names."""
    if not certificate:
        return ()
    names = [value for _, value in certificate.get("subjectAltName", ()) if isinstance(value, str)]
    subject = (pair for part in certificate.get("subject", ()) for pair in part)
    names += [value for name, value in subject if name == "commonName"]
    return tuple(dict.fromkeys(names))
