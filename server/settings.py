"""Settings, read once from the environment. Every variable stands here with its type and default.

An unknown BATON_* name is refused with the nearest known one; empty means unset; there is no default secret:
outside demo mode BATON_SECRET_KEY (or _FILE) and BATON_TIME_ZONE must be given.
"""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.auth.provider_settings import DEFAULT_NAME, ProviderSettings
from server.outbound_networks import Networks, read_networks
from server.policy.roles import Policy, PolicyError, read_policy
from server.policy.second_factor import BY_ROLE, MODES, OPTIONAL

KNOWN = {
    "BATON_HOME": "folder for data, keys and logs (./var)",
    "BATON_DATABASE_URL": "sqlite:///PATH or postgresql://...; default a file inside BATON_HOME",
    "BATON_REDIS_URL": "none: the local worker carries the queue",
    "BATON_HOST": "address to listen on (127.0.0.1)",
    "BATON_PORT_WEB": "port of the server (8000)",
    "BATON_PORT_APP": "port of the app (8001)",
    "BATON_PORT_MLLP": "port of the HL7 v2 listener (2575); off: none without TLS",
    "BATON_PORT_MLLPS": "port of the HL7 v2 listener with TLS (none)",
    "BATON_HOST_MLLP": "address that the HL7 v2 listener listens on (BATON_HOST)",
    "BATON_MLLP_ALLOW": "CIDRs that may connect to the HL7 v2 listener (loopback)",
    "BATON_MLLP_TLS_CERT": "certificate file of the HL7 v2 listener (BATON_TLS_CERT)",
    "BATON_MLLP_TLS_KEY": "its key file (BATON_TLS_KEY)",
    "BATON_MLLP_CLIENT_CA": "authorities whose client certificates the HL7 v2 listener demands (none)",
    "BATON_MLLP_LIMITS": "name=number, comma between: limits as in docs/reference/hl7v2-listener.md",
    "BATON_HL7V2_FOLDER": "folder whose files of HL7 v2 messages are taken (none)",
    "BATON_BASE_URL": "origin of web without /fhir (http://127.0.0.1:$BATON_PORT_WEB)",
    "BATON_APP_URL": "origin of the app (http://127.0.0.1:$BATON_PORT_APP)",
    "BATON_SECRET_KEY": "at least 32 bytes; demo: generated into BATON_HOME",
    "BATON_SECRET_KEY_FILE": "file holding BATON_SECRET_KEY",
    "BATON_TIME_ZONE": "the practice's IANA zone; demo: America/New_York",
    "BATON_OUTBOUND_ALLOW": "hosts or CIDRs beyond public https that may be called; demo: loopback",
    "BATON_WORKERS": "server processes (number of cores)",
    "BATON_LOG_LEVEL": "DEBUG, INFO, WARNING, ERROR (INFO; demo: WARNING)",
    "BATON_TLS_CERT": "certificate file (none: plain http)",
    "BATON_TLS_KEY": "key file of the certificate",
    "BATON_LIMITS": "name=number, comma between: limits as in docs/reference/limits.md (the defaults there)",
    "BATON_RATE_LIMIT": "requests a client may send a process in a minute (60000); 0: no limit",
    "BATON_RATE_LIMIT_ADDRESS": "the same for an address that sends no token (3000); 0: no limit",
    "BATON_POLICY": "file of the site's own roles and organizations (none: the shipped policy)",
    "BATON_TRUSTED_PROXIES": "CIDRs whose X-Forwarded-For, -Proto and -Host are believed (none)",
    "BATON_SECOND_FACTOR": "by-role (server/policy/second_factor.json), required, optional; demo: optional",
    "BATON_OIDC_ISSUER": "OpenID provider that staff may sign in by, as it calls itself (none)",
    "BATON_OIDC_CLIENT_ID": "this server's client id there",
    "BATON_OIDC_CLIENT_SECRET": "its secret there; without one it proves itself by its keys (/oauth2/jwks)",
    "BATON_OIDC_CLIENT_SECRET_FILE": "file holding BATON_OIDC_CLIENT_SECRET",
    "BATON_OIDC_NAME": "what the sign-in page calls the provider (your organization)",
    "BATON_OIDC_SECOND_FACTOR": "trusted: the provider always asks for one (claimed: where amr says so)",
    "BATON_DEMO": "1 in the processes of `baton serve --demo`, which sets it",
}

DEMO_MARK = "demo-logins.json"  # in BATON_HOME: this deployment is a demonstration


class SettingsError(Exception):
    """The environment cannot be used; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, resolved. base_url and app_url are origins without a trailing slash. policy: None for the
    shipped one. port_mllp, port_mllps: 0 for none."""

    home: Path
    database_url: str
    redis_url: str
    host: str
    port_web: int
    port_app: int
    port_mllp: int
    base_url: str
    app_url: str
    secret_key: bytes
    time_zone: str
    outbound_allow: Networks
    workers: int
    log_level: str
    tls_cert: str
    tls_key: str
    demo: bool
    limits: Mapping[str, int] = field(default_factory=dict)
    rate_limit: int = 60_000
    rate_limit_address: int = 3_000
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    policy: Policy | None = None
    second_factor: str = BY_ROLE
    provider: ProviderSettings | None = None
    port_mllps: int = 0
    host_mllp: str = "127.0.0.1"
    mllp_allow: tuple[IPv4Network | IPv6Network, ...] = ()
    mllp_tls_cert: str = ""
    mllp_tls_key: str = ""
    mllp_client_ca: str = ""
    mllp_limits: Mapping[str, int] = field(default_factory=dict)
    hl7v2_folder: Path | None = None

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL."""
        return f"{self.base_url}/fhir"


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SettingsError(f"{name} is not a port number")
    return int(text)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise SettingsError(f"{name} is not a number from 0 on")
    return int(text)


def _limits(given: Mapping[str, str], variable: str, module: str) -> dict[str, int]:
    """A variable of limits by the names of the `Limits` of a module."""
    text = given.get(variable)
    if not text:
        return {}
    known = {row.name.replace("_", "-"): row.name for row in fields(import_module(module).Limits)}
    chosen = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsError(f"{variable}: there is no limit of that name; did you mean {near[0]}?")
        if not value.isascii() or not value.isdigit() or not 0 < len(value) < 10 or int(value) < 1:
            raise SettingsError(f"{variable}: {name} is not a number from 1 on")
        chosen[known[name]] = int(value)
    return chosen


def _networks(
    given: Mapping[str, str], variable: str, default: str = ""
) -> tuple[IPv4Network | IPv6Network, ...]:
    text = given.get(variable, default)
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingsError(f"{variable} is not a list of CIDRs, for example 10.1.2.0/24") from None


def _outbound_allow(text: str) -> Networks:
    try:
        return read_networks(part.strip() for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingsError(
            "BATON_OUTBOUND_ALLOW is not a list of host names, addresses and CIDRs, "
            "for example keys.partner.example,10.20.0.0/16"
        ) from None


def _policy(path: str) -> Policy | None:
    """The site's own access policy, read and found usable. The shipped one never takes its place silently."""
    if not path:
        return None
    try:
        return read_policy(Path(path).read_text("utf-8"), str(Path(path).resolve()))
    except OSError as error:
        raise SettingsError(f"BATON_POLICY cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError("BATON_POLICY is not a text in UTF-8") from None
    except PolicyError as error:
        raise SettingsError(f"BATON_POLICY cannot be used: {error}") from None


def _secret(environment: Mapping[str, str], name: str, hint: str) -> str:
    """A secret as it is given, or as the first thing in the file of NAME_FILE."""
    file = environment.get(f"{name}_FILE")
    if not file:
        return environment.get(name, "")
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{name}_FILE cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}_FILE is not text: {hint}") from None


def _second_factor(text: str) -> str:
    if text not in MODES:
        raise SettingsError(f"BATON_SECOND_FACTOR is not one of {', '.join(MODES)}")
    return text


def _provider(given: Mapping[str, str]) -> ProviderSettings | None:
    issuer = given.get("BATON_OIDC_ISSUER", "")
    if not issuer:
        return None
    if not issuer.startswith(("https://", "http://")) or "?" in issuer or "#" in issuer:
        raise SettingsError("BATON_OIDC_ISSUER is not the address of a provider, https://...")
    client_id = given.get("BATON_OIDC_CLIENT_ID", "")
    if not client_id:
        raise SettingsError("BATON_OIDC_CLIENT_ID is not set: the id that the provider gave this server")
    vouching = given.get("BATON_OIDC_SECOND_FACTOR", "claimed")
    if vouching not in ("claimed", "trusted"):
        raise SettingsError("BATON_OIDC_SECOND_FACTOR is not one of claimed, trusted")
    return ProviderSettings(
        issuer=issuer,
        client_id=client_id,
        client_secret=_secret(given, "BATON_OIDC_CLIENT_SECRET", "it holds what the provider gave"),
        name=given.get("BATON_OIDC_NAME", DEFAULT_NAME),
        asks_second_factor=vouching == "trusted",
    )


def _secret_key(environment: Mapping[str, str], home: Path, demo: bool) -> bytes:
    text = _secret(environment, "BATON_SECRET_KEY", "fill it with `openssl rand -base64 48`")
    if not text and demo:
        try:
            text = _demonstration_key(home)
        except OSError as error:
            raise SettingsError(f"BATON_HOME cannot be used: {error.strerror}") from None
    if not text:
        raise SettingsError(
            "BATON_SECRET_KEY is not set: give at least 32 random bytes, "
            "for example from `openssl rand -base64 48`"
        )
    if len(text.encode()) < 32:
        raise SettingsError("BATON_SECRET_KEY is shorter than 32 bytes")
    return text.encode()


def _demonstration_key(home: Path) -> str:
    """The key that the first start of a demonstration leaves in its home. Raises: OSError."""
    path = home / "secret-key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(48))
        except FileExistsError:
            pass  # another process of the same start was quicker
    return path.read_text().strip()


def _is_demonstration(home: Path) -> bool:
    try:
        return (home / DEMO_MARK).exists()
    except OSError as error:
        raise SettingsError(f"BATON_HOME cannot be used: {error.strerror}") from None


def read_settings(environment: Mapping[str, str], *, demo: bool = False) -> Settings:
    """Settings from environment variables.

    Raises: SettingsError naming the variable and what to do.
    """
    given = {name: value for name, value in environment.items() if name.startswith("BATON_") and value}
    for name in given:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.0)
            raise SettingsError(f"{name} is not a setting of Baton; did you mean {near[0]}?")
    home = Path(given.get("BATON_HOME", "var")).resolve()
    # What was started as a demonstration stays one, for every command that is run beside it.
    demo = demo or given.get("BATON_DEMO") == "1" or _is_demonstration(home)
    port_web = _port(given, "BATON_PORT_WEB", 8000)
    port_app = _port(given, "BATON_PORT_APP", 8001)
    zone = given.get("BATON_TIME_ZONE") or ("America/New_York" if demo else "")
    if not zone:
        raise SettingsError("BATON_TIME_ZONE is not set: the practice's IANA zone, for example America/Chicago")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise SettingsError("BATON_TIME_ZONE is not an IANA time zone") from None
    workers = given.get("BATON_WORKERS") or str(os.cpu_count() or 1)
    if not workers.isdigit() or int(workers) < 1:
        raise SettingsError("BATON_WORKERS is not a positive number")
    level = given.get("BATON_LOG_LEVEL", "WARNING" if demo else "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError("BATON_LOG_LEVEL is not one of DEBUG, INFO, WARNING, ERROR")
    redis_url = given.get("BATON_REDIS_URL", "")
    if redis_url and not redis_url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError("BATON_REDIS_URL must be redis://:PASSWORD@HOST:PORT/0, rediss:// or unix://")
    allow = given.get("BATON_OUTBOUND_ALLOW") or ("127.0.0.0/8,::1/128,localhost" if demo else "")
    host = given.get("BATON_HOST", "127.0.0.1")
    return Settings(
        home=home,
        database_url=given.get("BATON_DATABASE_URL") or f"sqlite:///{home / 'baton.sqlite3'}",
        redis_url=redis_url,
        host=host,
        port_web=port_web,
        port_app=port_app,
        port_mllp=0 if given.get("BATON_PORT_MLLP") == "off" else _port(given, "BATON_PORT_MLLP", 2575),
        base_url=(given.get("BATON_BASE_URL") or f"http://127.0.0.1:{port_web}").rstrip("/"),
        app_url=(given.get("BATON_APP_URL") or f"http://127.0.0.1:{port_app}").rstrip("/"),
        secret_key=_secret_key(given, home, demo),
        time_zone=zone,
        outbound_allow=_outbound_allow(allow),
        workers=int(workers),
        log_level=level,
        tls_cert=given.get("BATON_TLS_CERT", ""),
        tls_key=given.get("BATON_TLS_KEY", ""),
        demo=demo,
        limits=_limits(given, "BATON_LIMITS", "server.interactions.request"),
        rate_limit=_number(given, "BATON_RATE_LIMIT", 60_000),
        rate_limit_address=_number(given, "BATON_RATE_LIMIT_ADDRESS", 3_000),
        trusted_proxies=_networks(given, "BATON_TRUSTED_PROXIES"),
        policy=_policy(given.get("BATON_POLICY", "")),
        second_factor=_second_factor(given.get("BATON_SECOND_FACTOR", OPTIONAL if demo else BY_ROLE)),
        provider=_provider(given),
        port_mllps=_port(given, "BATON_PORT_MLLPS", 0) if given.get("BATON_PORT_MLLPS") else 0,
        host_mllp=given.get("BATON_HOST_MLLP", host),
        mllp_allow=_networks(given, "BATON_MLLP_ALLOW", "127.0.0.0/8,::1/128"),
        mllp_tls_cert=given.get("BATON_MLLP_TLS_CERT") or given.get("BATON_TLS_CERT", ""),
        mllp_tls_key=given.get("BATON_MLLP_TLS_KEY") or given.get("BATON_TLS_KEY", ""),
        mllp_client_ca=given.get("BATON_MLLP_CLIENT_CA", ""),
        mllp_limits=_limits(given, "BATON_MLLP_LIMITS", "server.mllp.limits"),
        hl7v2_folder=Path(given["BATON_HL7V2_FOLDER"]) if "BATON_HL7V2_FOLDER" in given else None,
    )
