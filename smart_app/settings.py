"""The app's settings, read once from the environment.

The names, meanings and defaults are those of `docs/reference/settings.md`; the app reads the few it
needs. There is no default secret: outside demo mode BATON_SECRET_KEY (or _FILE) and BATON_TIME_ZONE
must be given.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEMO_TIME_ZONE = "America/New_York"
SECRET_BYTES = 32
MAXIMUM_BODY = 256 * 1024  # the largest form is a board of some hundred decisions, far below


class SettingsError(Exception):
    """The environment cannot be used; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, resolved. Origins carry no trailing slash; `time_zone` is an IANA name."""

    home: Path
    host: str
    port: int
    app_url: str
    base_url: str
    secret_key: bytes = field(repr=False)
    time_zone: str
    log_level: str
    tls_cert: str
    tls_key: str
    demo: bool
    database_url: str = field(default="", repr=False)
    """The PostgreSQL that holds the sessions, with its password; "" for a file in `home`."""

    @property
    def store_base(self) -> str:
        """FHIR base URL of the store."""
        return f"{self.base_url}/fhir"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def redirect_uri(self) -> str:
        return f"{self.app_url}/callback"


def is_demo(environment: Mapping[str, str]) -> bool:
    """Whether the supervisor started this process in demo mode."""
    return environment.get("BATON_DEMO") == "1"


def read_settings(environment: Mapping[str, str], *, demo: bool = False) -> Settings:
    """Settings from environment variables; empty means unset.

    Raises: SettingsError naming the variable and what to do.
    """
    given = {name: value for name, value in environment.items() if name.startswith("BATON_") and value}
    home = Path(given.get("BATON_HOME", "var")).resolve()
    port = _port(given, "BATON_PORT_APP", 8001)
    port_web = _port(given, "BATON_PORT_WEB", 8000)
    level = given.get("BATON_LOG_LEVEL", "WARNING" if demo else "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError("BATON_LOG_LEVEL is not one of DEBUG, INFO, WARNING, ERROR")
    return Settings(
        home=home,
        host=given.get("BATON_HOST", "127.0.0.1"),
        port=port,
        app_url=_origin("BATON_APP_URL", given.get("BATON_APP_URL") or f"http://127.0.0.1:{port}"),
        base_url=_origin("BATON_BASE_URL", given.get("BATON_BASE_URL") or f"http://127.0.0.1:{port_web}"),
        secret_key=_secret_key(given, home, demo),
        time_zone=_time_zone(given, demo),
        log_level=level,
        tls_cert=given.get("BATON_TLS_CERT", ""),
        tls_key=given.get("BATON_TLS_KEY", ""),
        demo=demo,
        database_url=_database_url(given),
    )


def _database_url(given: Mapping[str, str]) -> str:
    """The address of a PostgreSQL, or "": a SQLite file is the server's own, the app has one beside it."""
    url = given.get("BATON_DATABASE_URL", "")
    scheme = urlsplit(url).scheme
    if scheme in ("", "sqlite"):
        return ""
    if scheme not in ("postgresql", "postgres"):
        raise SettingsError("BATON_DATABASE_URL is neither sqlite:///PATH nor postgresql://HOST/DATABASE")
    return url


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
        raise SettingsError(f"{name} is not a port number")
    return int(text)


def _origin(name: str, text: str) -> str:
    parts = urlsplit(text.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SettingsError(f"{name} is not an http or https address")
    return text.rstrip("/")


def _time_zone(given: Mapping[str, str], demo: bool) -> str:
    name = given.get("BATON_TIME_ZONE") or (DEMO_TIME_ZONE if demo else "")
    if not name:
        raise SettingsError("BATON_TIME_ZONE is not set: the practice's IANA zone, for example America/Chicago")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise SettingsError("BATON_TIME_ZONE is not an IANA time zone") from None
    return name


def _secret_key(given: Mapping[str, str], home: Path, demo: bool) -> bytes:
    if file := given.get("BATON_SECRET_KEY_FILE"):
        try:
            text = Path(file).read_text().strip()
        except OSError as error:
            raise SettingsError(f"BATON_SECRET_KEY_FILE cannot be read: {error.strerror}") from None
    else:
        text = given.get("BATON_SECRET_KEY", "")
    if not text and demo:
        text = _demo_secret(home)
    if not text:
        raise SettingsError(
            "BATON_SECRET_KEY is not set: give at least 32 random bytes, "
            "for example from `openssl rand -base64 48`"
        )
    if len(text.encode()) < SECRET_BYTES:
        raise SettingsError("BATON_SECRET_KEY is shorter than 32 bytes")
    return text.encode()


def _demo_secret(home: Path) -> str:
    """The secret of a demonstration, made by whichever process of the same start is first."""
    path = home / "secret-key"
    home.mkdir(parents=True, exist_ok=True)
    # Written beside and linked into place, so that nobody reads a file that is still empty.
    fresh = home / f".secret-key.{secrets.token_hex(8)}"
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()
