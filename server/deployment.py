"""Bringing a deployment into the state its processes expect: folders, schema, keys, demonstration accounts.

Everything here may be repeated and may run in several processes at once.
"""

from __future__ import annotations

import importlib.metadata
import ssl

from server.errors import FhirError
from server.mllp.tls import Certificates
from server.settings import Settings
from server.storage import DatabaseUrlError, open_store
from server.storage.migrations import SchemaTooNew


class DeploymentError(Exception):
    """The deployment cannot start; the text says what to do."""


def migrate(settings: Settings) -> str:
    """Bring the database to this release's schema; one line that says where it stands.

    Raises: DeploymentError for a home or URL that cannot be used, a database that does not answer or is of a
    newer release.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DeploymentError(f"BATON_HOME cannot be used: {error.strerror}") from None
    try:
        store = open_store(settings.database_url)
        version = store.upgrade()
        unfinished = store.reindexing()
        store.close()
    except (DatabaseUrlError, SchemaTooNew) as error:
        raise DeploymentError(str(error)) from None
    except FhirError as error:
        said = " ".join(issue.diagnostics for issue in error.issues)
        raise DeploymentError(
            f"{said} Does it run and exist, and may its user create tables?"
            " (BATON_DATABASE_URL; `baton doctor`)"
        ) from None
    if unfinished:
        return (
            f"schema {version}; what is stored will be indexed again by the worker, for searches that are new"
        )
    return f"schema {version}"


def prepare(settings: Settings) -> None:
    """Make everything ready for the parts to start.

    Other packages prepare by their entry points of the group `baton.prepare` (the app makes its keys there).
    In demonstration mode the accounts and clients of the demonstration are made, once.
    Raises: DeploymentError.
    """
    _require_certificate(settings)
    _require_listener_certificate(settings)
    migrate(settings)
    _require_brand(settings)
    try:
        for point in importlib.metadata.entry_points(group="baton.prepare"):
            point.load()()
        if settings.demo:
            from server.demo_accounts import ensure_demo

            ensure_demo(settings)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DeploymentError(f"BATON_HOME cannot be used: {error.strerror or error}{where}") from None


def _require_certificate(settings: Settings) -> None:
    """Refuse a certificate that no server can be started with, instead of restarting the parts for ever."""
    if not settings.tls_cert and not settings.tls_key:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = (
            getattr(error, "reason", None)
            or getattr(error, "strerror", None)
            or "not a certificate and its key"
        )
        raise DeploymentError(
            f"BATON_TLS_CERT and BATON_TLS_KEY cannot be used ({reason}); `baton doctor` looks closer"
        ) from None


def _require_listener_certificate(settings: Settings) -> None:
    """Refuse files that the HL7 v2 listener cannot be started with, for the same reason."""
    if not settings.port_mllps:
        return
    if not settings.mllp_tls_cert or not settings.mllp_tls_key:
        raise DeploymentError("BATON_PORT_MLLPS needs BATON_MLLP_TLS_CERT and BATON_MLLP_TLS_KEY")
    try:
        Certificates(settings.mllp_tls_cert, settings.mllp_tls_key, settings.mllp_client_ca)
    except (OSError, ValueError):
        raise DeploymentError(
            "BATON_MLLP_TLS_CERT, BATON_MLLP_TLS_KEY or BATON_MLLP_CLIENT_CA cannot be used;"
            " `baton doctor` looks closer"
        ) from None


def _require_brand(settings: Settings) -> None:
    """Refuse brands that cannot be published, for the same reason."""
    # With them come FHIR's tables, which an upgrade of the schema need not load.
    from server.brands import BrandError, read_brand

    try:
        read_brand(settings.home, settings.fhir_base, demo=settings.demo)
    except BrandError as error:
        raise DeploymentError(str(error)) from None
