"""Bringing a deployment into the state its processes expect: folders, schema, keys, demonstration accounts.

Everything here may be repeated and may run in several processes at once.
"""

from __future__ import annotations

import importlib.metadata

from server.settings import Settings
from server.storage import DatabaseUrlError, open_store
from server.storage.migrations import SchemaTooNew


class DeploymentError(Exception):
    """The deployment cannot start; the text says what to do."""


def migrate(settings: Settings) -> str:
    """Bring the database to this release's schema; one line that says where it stands.

    Raises: DeploymentError for a URL that cannot be used or a database of a newer release.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        store = open_store(settings.database_url)
        version = store.upgrade()
        store.close()
    except (DatabaseUrlError, SchemaTooNew) as error:
        raise DeploymentError(str(error)) from None
    return f"schema {version}"


def prepare(settings: Settings) -> None:
    """Make everything ready for the parts to start.

    Other packages prepare by their entry points of the group `baton.prepare` (the app makes its keys there).
    In demonstration mode the accounts and clients of the demonstration are made, once.
    Raises: DeploymentError.
    """
    migrate(settings)
    for point in importlib.metadata.entry_points(group="baton.prepare"):
        point.load()()
    if settings.demo:
        from server.demo_accounts import ensure_demo

        ensure_demo(settings)
