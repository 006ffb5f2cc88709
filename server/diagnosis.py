"""`baton doctor`: what it looks at, and what to do about each finding.

Here: configuration, files, keys, backups and disk of this machine; `database_diagnosis` asks the database.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mappings.engine import check
from server.auth.keys import SigningKeyError, SigningKeys
from server.backup.home_files import RECORD
from server.brands import PATH, BrandError, read_brand
from server.database_diagnosis import Finding, diagnose_database, row
from server.hl7v2.current_maps import overlays_of
from server.policy.roles import shipped_policy
from server.policy.second_factor import OPTIONAL
from server.settings import Settings
from server.storage.vocabulary import current_vocabulary

FREE_BYTES_WANTED = 1_000_000_000
EARLIEST_PLAUSIBLE = datetime(2026, 1, 1, tzinfo=UTC)
CERTIFICATE_WARNING = timedelta(days=30)
KEY_AGE = timedelta(days=365)
BACKUP_AGE = timedelta(days=2)
_PRIVATE_FILES = ("secret-key", "app-keys.json", "app-issuers.json", "app-sessions.sqlite3", "demo-logins.json")


def diagnose(settings: Settings) -> list[Finding]:
    """Findings as {check, level: ok | warning | error, finding}, in the order a person would look."""
    now = datetime.now(UTC)
    in_database, holds_data = diagnose_database(settings, now)
    return [
        *_settings(settings),
        *_policy(settings),
        *_brands(settings),
        *_certificate(settings, now),
        *_listener(settings, now),
        *_maps(settings),
        *_home(settings),
        *in_database,
        *_keys(settings, now),
        *_terminology(settings),
        *_clock(now),
        *_disk(settings),
        *_backups(settings, now, holds_data),
    ]


def _settings(settings: Settings) -> Iterator[Finding]:
    wrong = False
    for name, url in (("BATON_BASE_URL", settings.base_url), ("BATON_APP_URL", settings.app_url)):
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in ("http", "https") or parts.path or parts.query:
            wrong = True
            yield row("settings", "error", f"{name} is {url}: give an origin such as https://fhir.example.org")
        elif parts.scheme == "http" and not _is_loopback(parts.hostname):
            wrong = True
            yield row(
                "settings",
                "error",
                f"{name} is {url}: tokens and patient data would travel unencrypted. Give the https address,"
                " and end TLS in Baton (BATON_TLS_CERT, BATON_TLS_KEY) or in a proxy before it",
            )
    if settings.demo and not _is_loopback(urlsplit(settings.base_url).hostname or ""):
        wrong = True
        yield row("settings", "warning", "a demonstration is open to other machines: use synthetic data only")
    if settings.second_factor == OPTIONAL and not settings.demo:
        wrong = True
        yield row("settings", "warning", "BATON_SECOND_FACTOR is optional: people sign in by a password alone")
    if not wrong:
        yield row("settings", "ok", f"{settings.base_url}, time zone {settings.time_zone}")


def _policy(settings: Settings) -> Iterator[Finding]:
    held = settings.policy or shipped_policy()
    where = held.origin if settings.policy else "shipped with this release"
    limited = sorted(name for name, role in held.roles.items() if role.reach != "all")
    said = f"{where}, version {held.version} of {held.effective}: {len(held.roles)} roles"
    if limited:
        said += f"; limited to charts they are related to: {', '.join(limited)}"
    if held.organizations:
        said += f"; {len(held.organizations)} organizations limit their staff"
    if settings.policy and _is_writable_by_others(Path(held.origin)):
        yield row("policy", "error", f"{held.origin} can be written by other users: chmod go-w it")
    else:
        yield row("policy", "ok", said)


def _brands(settings: Settings) -> Iterator[Finding]:
    try:
        brand = read_brand(settings.home, settings.fhir_base, demo=settings.demo)
    except BrandError as error:
        yield row("brands", "error", str(error))
    else:
        yield row("brands", "ok", f"{PATH} is published" if brand else "none is published")


def _is_writable_by_others(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o022)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _certificate(settings: Settings, now: datetime) -> Iterator[Finding]:
    if not settings.tls_cert and not settings.tls_key:
        return
    if not settings.tls_cert or not settings.tls_key:
        yield row("tls", "error", "BATON_TLS_CERT and BATON_TLS_KEY go together: set both or none")
        return
    yield from _usable("tls", "BATON_TLS", settings.tls_cert, settings.tls_key, now)


def _listener(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Where HL7 v2 messages come in."""
    open_to = [str(network) for network in settings.mllp_allow if not network.is_loopback]
    if settings.port_mllps:
        cert, key = settings.mllp_tls_cert, settings.mllp_tls_key
        if not cert or not key:
            yield row("mllp", "error", "BATON_PORT_MLLPS needs BATON_MLLP_TLS_CERT and BATON_MLLP_TLS_KEY")
        elif (cert, key) != (settings.tls_cert, settings.tls_key):
            yield from _usable("mllp", "BATON_MLLP_TLS", cert, key, now)
        if settings.mllp_client_ca and not Path(settings.mllp_client_ca).is_file():
            yield row("mllp", "error", "BATON_MLLP_CLIENT_CA is no file: name the authorities' certificates")
    if not _is_loopback(settings.host_mllp) and not open_to:
        yield row(
            "mllp", "warning", "nobody but this machine may send messages: BATON_MLLP_ALLOW names networks"
        )
    elif settings.port_mllp and not _is_loopback(settings.host_mllp):
        yield row(
            "mllp",
            "warning",
            f"messages come without TLS on {settings.host_mllp}:{settings.port_mllp} from {', '.join(open_to)}:"
            " keep that inside a VPN, or use BATON_PORT_MLLPS and BATON_PORT_MLLP=off",
        )
    elif settings.port_mllp or settings.port_mllps:
        yield row("mllp", "ok", f"{settings.host_mllp}:{settings.port_mllp or settings.port_mllps}")
    folder = settings.hl7v2_folder
    if folder is not None and folder.is_dir() and _is_writable_by_others(folder):
        yield row("mllp", "warning", f"{folder} can be written by other users: chmod go-w it")


def _usable(check: str, name: str, cert: str, cert_key: str, now: datetime) -> Iterator[Finding]:
    """Whether a certificate and its key can be used, and for how long."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(cert).read_bytes())
        key = load_pem_private_key(Path(cert_key).read_bytes(), None)
    except OSError as error:
        yield row(
            check, "error", f"{error.filename} cannot be read ({error.strerror}): name files this user may"
        )
        return
    except (ValueError, TypeError):
        yield row(check, "error", f"{name}_CERT or {name}_KEY is no PEM file, or its key has a passphrase")
        return
    left = certificate.not_valid_after_utc - now
    until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    if key.public_key() != certificate.public_key():
        yield row(check, "error", f"{name}_KEY is not the key of {name}_CERT")
    elif certificate.not_valid_before_utc > now:
        yield row(
            check, "error", f"the certificate is valid only from {certificate.not_valid_before_utc:%Y-%m-%d}"
        )
    elif left <= timedelta(0):
        yield row(check, "error", f"the certificate ended on {until}: renew it and start again")
    elif left < CERTIFICATE_WARNING:
        yield row(check, "warning", f"the certificate ends on {until}, in {left.days} days: renew it")
    else:
        yield row(check, "ok", f"the certificate is valid until {until}")


def _maps(settings: Settings) -> Iterator[Finding]:
    """The maps of HL7 v2 messages, as a worker that starts now would read them."""
    folder = overlays_of(settings.home)
    try:
        maps, problems = check(folder if folder.is_dir() else None)
    except OSError as error:
        yield row("maps", "error", f"{folder} cannot be read: {error.strerror}")
        return
    mistakes = [problem for problem in problems if not problem.is_warning]
    for problem in mistakes:
        yield row("maps", "error", f"{problem}; the last good maps stay in force until the worker starts anew")
    if not mistakes:
        names = ", ".join(sorted(maps.overlays)) or "none"
        yield row("maps", "ok", f"maps {maps.version}, overlays of the site: {names}")


def _home(settings: Settings) -> Iterator[Finding]:
    if not settings.home.is_dir():
        yield row("home", "warning", f"{settings.home} does not exist yet; `baton db upgrade` makes it")
        return
    mode = stat.S_IMODE(settings.home.stat().st_mode)
    loose = [name for name in _PRIVATE_FILES if _is_open(settings.home / name)]
    if mode & 0o077:
        yield row("home", "warning", f"{settings.home} is open to other users (mode {mode:o}); chmod 700 it")
    elif loose:
        yield row("home", "warning", f"readable by other users: {', '.join(loose)}; chmod 600 them")
    else:
        yield row("home", "ok", str(settings.home))


def _is_open(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _keys(settings: Settings, now: datetime) -> Iterator[Finding]:
    folder = settings.home / "keys"
    if not any(folder.glob("*")):
        yield row("keys", "ok", "none yet; they are made at the first start")
        return
    loose = sorted(path.name for path in folder.iterdir() if _is_open(path))
    if loose:
        yield row("keys", "error", f"readable by other users: {', '.join(loose)}; chmod 600 them")
        return
    keys = SigningKeys(settings.home, settings.secret_key, lambda: now)
    try:
        current = keys.signing()
        keys.public_set()
        made = datetime.fromtimestamp((folder / current.file).stat().st_mtime, UTC)
    except SigningKeyError as error:
        yield row("keys", "error", str(error))
        return
    except OSError as error:
        yield row("keys", "error", f"{error.filename} is missing ({error.strerror}): restore it from a backup")
        return
    began = max(current.signs_from, made)
    if now - began > KEY_AGE:
        yield row("keys", "warning", f"the signing key is {(now - began).days} days old: `baton keys rotate`")
    else:
        yield row("keys", "ok", f"{len(keys.published())} published, the one that signs is of {began:%Y-%m-%d}")


def _clock(now: datetime) -> Iterator[Finding]:
    if now < EARLIEST_PLAUSIBLE:
        yield row(
            "clock", "error", f"says {now:%Y-%m-%d}, which has passed; tokens and deadlines need the time"
        )
    else:
        yield row("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _terminology(settings: Settings) -> Iterator[Finding]:
    vocabulary = current_vocabulary(settings.home / "terminology")
    if vocabulary is None:
        yield row(
            "terminology",
            "ok",
            "R4's own definitions only, no file yet: the app builds it when it first starts, and"
            " `baton terminology build` at any time",
        )
    else:
        names = sorted({system.name for system in vocabulary.systems()})
        yield row("terminology", "ok", f"edition {vocabulary.edition}: {', '.join(names)}")


def _disk(settings: Settings) -> Iterator[Finding]:
    places = {"BATON_HOME": settings.home}
    if settings.database_url.startswith("sqlite:///"):
        places["the database"] = Path(settings.database_url.removeprefix("sqlite:///")).parent
    seen = set()
    for name, folder in places.items():
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(there).free
        if free >= FREE_BYTES_WANTED:
            yield row("disk", "ok", f"{free / 1e9:.1f} GB free for {name}")
        else:
            yield row(
                "disk", "warning", f"{free / 1e9:.1f} GB free for {name}: make room, or writes are refused soon"
            )


def _backups(settings: Settings, now: datetime, holds_data: bool) -> Iterator[Finding]:
    try:
        last = json.loads((settings.home / RECORD).read_bytes())
        taken = datetime.fromisoformat(last["taken"])
        where = str(last["directory"])
    except FileNotFoundError:
        if holds_data and not settings.demo:
            yield row("backups", "warning", "none was ever taken: `baton backup DIR`, every night")
        else:
            yield row("backups", "ok", "none was taken yet")
        return
    except (OSError, ValueError, KeyError, TypeError):
        yield row("backups", "warning", f"{RECORD} cannot be read: take a backup, which writes it anew")
        return
    age = now - taken
    said = f"the last one is of {taken:%Y-%m-%d %H:%M} UTC, in {where}"
    if age > BACKUP_AGE and not settings.demo:
        yield row("backups", "warning", f"{said}, {age.days} days ago: `baton backup DIR`, every night")
    else:
        yield row("backups", "ok", said)
