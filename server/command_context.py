"""The authorization server for the commands that work beside a running server, or without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from server.auth.context import AuthContext, auth_context
from server.auth.keys import SigningKeyError
from server.errors import FhirError
from server.policy.roles import use
from server.settings import Settings, SettingsError, read_settings
from server.storage import DatabaseUrlError, open_store
from server.storage.database_store import DatabaseStore
from server.storage.health import database_health
from server.storage.migrations import SchemaTooNew


def command_settings() -> Settings:
    """The settings of the deployment in BATON_HOME.

    A demo deployment is known by the secret key that its first start left there, so its commands need no
    environment of their own. Raises: click.ClickException.
    """
    home = Path(os.environ.get("BATON_HOME") or "var")
    try:
        demo = os.environ.get("BATON_DEMO") == "1" or (home / "secret-key").exists()
        settings = read_settings(os.environ, demo=demo)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"BATON_HOME cannot be used: {error.strerror}") from None
    use(settings.policy)  # what a command says of roles is what the site says
    return settings


def require_schema(store: DatabaseStore) -> None:
    """Stop where the database is not of this release's schema: for commands that change nothing in it.

    Raises: click.ClickException with what to do; FhirError for a database that does not answer.
    """
    health = database_health(store.database)
    if health.schema > health.newest:
        raise click.ClickException(
            f"The database has schema {health.schema}, this release knows {health.newest}."
            " Use the release that wrote it, or a newer one."
        )
    if health.schema < health.newest:
        raise click.ClickException(
            f"The database has schema {health.schema}, this release needs {health.newest}: `baton db upgrade`."
            " If it is not the one you meant: BATON_HOME, BATON_DATABASE_URL."
        )


def command_context() -> AuthContext:
    """The authorization server's parts over the deployment's own database, brought to this program's schema.

    Raises: click.ClickException with what to do.
    """
    settings = command_settings()
    try:
        store = open_store(settings.database_url)
        store.upgrade()
        return auth_context(
            store.authorization,
            store,
            base_url=settings.base_url,
            home=settings.home,
            secret_key=settings.secret_key,
            clock=lambda: datetime.now(UTC),
            outbound=settings.outbound_allow,
        )
    except (DatabaseUrlError, SchemaTooNew, SigningKeyError) as error:
        raise click.ClickException(str(error)) from None
    except FhirError as error:
        raise click.ClickException(" ".join(issue.diagnostics for issue in error.issues)) from None
    except OSError as error:
        raise click.ClickException(f"BATON_HOME cannot be used: {error.strerror}") from None


@contextmanager
def plain_words(*told: type[Exception]) -> Iterator[None]:
    """What can go wrong ends the command with status 1 and what to do. told: errors that say it themselves."""
    try:
        yield
    except told as error:
        raise click.ClickException(str(error)) from None
    except FhirError as error:
        raise click.ClickException(" ".join(issue.diagnostics for issue in error.issues)) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise click.ClickException(f"{error.strerror or error}{where}") from None
