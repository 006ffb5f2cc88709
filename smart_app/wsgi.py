"""What the server of HTTP loads: the app of this environment."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Flask

from smart_app.app import create_app
from smart_app.logs import configure_logging
from smart_app.process import die_with_parent
from smart_app.settings import MAXIMUM_BODY, is_demo, read_settings

THREADS = 8
"""Pages at once; they wait for FHIR servers, and further ones for them."""
MOST_WAIT = 10.0
"""Seconds a page waits for one of the threads before the person is asked to try again."""


def app() -> Flask:
    """The app for any WSGI server. Raises: SettingsError."""
    die_with_parent()
    settings = read_settings(os.environ, demo=is_demo(os.environ))
    configure_logging(settings.log_level)
    return create_app(settings)


def front() -> Any:
    """The app behind the door at which its clients wait (entry point `baton.http`). Raises: SettingsError."""
    door = entry_points(group="baton.http")["door"].load()
    return door(app().wsgi_app, _most_body, threads=THREADS, most_wait=MOST_WAIT)


def _most_body(environ: WSGIEnvironment) -> int:
    return MAXIMUM_BODY
