"""What the WSGI server loads: the app of this environment."""

from __future__ import annotations

import os

from flask import Flask

from smart_app.app import create_app
from smart_app.logs import configure_logging
from smart_app.process import die_with_parent
from smart_app.settings import is_demo, read_settings


def app() -> Flask:
    """Raises: SettingsError."""
    die_with_parent()
    settings = read_settings(os.environ, demo=is_demo(os.environ))
    configure_logging(settings.log_level)
    return create_app(settings)
