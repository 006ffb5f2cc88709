"""Who sends HL7 v2 messages here: the settings of a source, and which source a message is of.

A message is of the source that its sender's certificate names, else of the one with its MSH-3 and MSH-4, else
of a new one, which is made with its first message and is in state `new` until somebody confirms it. Settings
are JSON; docs/reference/hl7v2-listener.md tells of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mappings.result import Source
from server.storage.hl7v2_sources import Hl7v2Sources, SourceRow

NEW, CONFIRMED, DISABLED = "new", "confirmed", "disabled"
# Messages of senders beyond this number of unconfirmed ones, and those that tell no sender, are of this source.
UNKNOWN = "unknown"
NEW_MAXIMUM = 500
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "mode": ("", "original", "enhanced", "aa"),
    "ack_on": ("stored", "processed"),
    "busy": ("AR", "AE"),
    "reused_control_id": ("accept", "reject"),
    "batch": ("batch", "each"),
    "on_error": ("free", "park"),
}
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


class SourceError(ValueError):
    """Settings of a source that cannot be used; the text names the setting and what it can be."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How a source is heard, and how its messages are mapped.

    mode: original, enhanced or aa (AA at once, whatever is asked for); "" for what MSH-15 and MSH-16 ask for.
    ack_on: when original mode answers. busy: MSA-1 while a message cannot be stored. reused_control_id: what
    happens to other bytes under a known control id. batch: one acknowledgement of a batch, or one of each
    message. networks: CIDRs that it may send from, none for all that may connect. certificates: names (CN or
    SAN) of client certificates that are this source; with any, its messages come with one of them alone.
    connections: that it may have at once. return_address: HOST:PORT for application acknowledgements whose
    connection is gone. on_error: what a message that failed does to later ones of its patient.
    The others are those of `mappings.result.Source`.
    """

    mode: str = ""
    ack_on: str = "stored"
    busy: str = "AR"
    reused_control_id: str = "accept"
    batch: str = "batch"
    networks: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    connections: int = 100
    return_address: str = ""
    on_error: str = "free"
    time_zone: str = ""
    systems: Mapping[str, str] = field(default_factory=dict)
    authorities: tuple[str, ...] = ()
    production: bool = True
    medication_list: bool = False
    switches: Mapping[str, str] = field(default_factory=dict)
    overlay: str = ""


_KINDS: Mapping[str, type] = {
    row.name: type(getattr(SourceSettings(), row.name)) for row in fields(SourceSettings)
}


def read_settings(text: str) -> SourceSettings:
    """Settings from their JSON. Raises: SourceError."""
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise SourceError("the settings of a source are a JSON object") from None
    if not isinstance(given, dict):
        raise SourceError("the settings of a source are a JSON object")
    values: dict[str, Any] = {}
    for name, value in given.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise SourceError(f"there is no setting of that name; there are: {', '.join(_KINDS)}")
        values[name] = _value(name, kind, value)
    settings = SourceSettings(**values)
    _check(settings)
    return settings


def write_settings(settings: SourceSettings) -> str:
    """The JSON of settings, without those that are as they are by default."""
    usual = asdict(SourceSettings())
    return json.dumps({name: value for name, value in asdict(settings).items() if value != usual[name]})


def _value(name: str, kind: type, value: Any) -> Any:
    if kind is tuple:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise SourceError(f"{name} is a list of texts")
    if kind is dict:
        if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
            return value
        raise SourceError(f"{name} is an object of texts")
    if type(value) is not kind:
        raise SourceError(f"{name} is {_WORDS[kind]}")
    return value


_WORDS = {str: "a text", int: "a whole number", bool: "true or false"}


def _check(settings: SourceSettings) -> None:
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            raise SourceError(f"{name} is one of {', '.join(choice or '(empty)' for choice in choices)}")
    if settings.connections < 1:
        raise SourceError("connections is a number from 1 on")
    try:
        _networks(settings)
    except ValueError:
        raise SourceError("networks are CIDRs, for example 10.1.2.0/24") from None
    address = settings.return_address
    if address and not (_ADDRESS.fullmatch(address) and 0 < int(address.rpartition(":")[2]) < 65536):
        raise SourceError("return_address is HOST:PORT")
    if settings.time_zone:
        try:
            ZoneInfo(settings.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SourceError("time_zone is an IANA time zone, for example America/Chicago") from None


def _networks(settings: SourceSettings) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, settings.networks))


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source as a process knows it. broken: its settings cannot be read, so nothing of it is taken."""

    name: str
    state: str
    settings: SourceSettings
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    broken: bool = False

    def admits(self, address: str, names: Collection[str]) -> bool:
        """Whether its messages may come from this address, with a certificate of these names."""
        if self.networks and not _is_within(address, self.networks):
            return False
        return not self.settings.certificates or not set(self.settings.certificates).isdisjoint(names)

    @property
    def mapping(self) -> Source:
        """As a map sees it."""
        given = self.settings
        return Source(
            name=self.name,
            time_zone=given.time_zone,
            systems=given.systems,
            authorities=given.authorities,
            production=given.production,
            medication_list=given.medication_list,
            switches=given.switches,
            overlay=given.overlay,
        )


def known_source(row: SourceRow) -> KnownSource:
    """A source from its row."""
    try:
        settings = read_settings(row.settings)
    except SourceError:
        return KnownSource(row.name, row.state, SourceSettings(), broken=True)
    return KnownSource(row.name, row.state, settings, _networks(settings))


def _is_within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)


class Sources:
    """The sources as one process knows them, at most `seconds` old. Used by one thread at a time.

    clock: UTC microseconds.
    """

    def __init__(self, rows: Hl7v2Sources, clock: Callable[[], int], *, seconds: float = 1.0) -> None:
        self._rows = rows
        self._clock = clock
        self._keep = int(seconds * 1_000_000)
        self._until = -1
        self._by_name: dict[str, KnownSource] = {}
        self._by_sender: dict[tuple[str, str], KnownSource] = {}
        self._by_certificate: dict[str, KnownSource] = {}
        self._new: dict[str, SourceRow] = {}

    def refresh(self) -> None:
        """Look at the table again, if what is known is too old. Raises: FhirError unavailable."""
        now = self._clock()
        if self._until - self._keep <= now < self._until:
            return
        by_name: dict[str, KnownSource] = {}
        by_sender: dict[tuple[str, str], KnownSource] = {}
        by_certificate: dict[str, KnownSource] = {}
        for row in self._rows.all():
            known = by_name[row.name] = known_source(row)
            sender = (row.sending_application, row.sending_facility)
            if any(sender) and (sender not in by_sender or by_sender[sender].state == NEW):
                by_sender[sender] = known
            for name in known.settings.certificates:
                by_certificate.setdefault(name, known)
        self._by_name, self._by_sender, self._by_certificate = by_name, by_sender, by_certificate
        self._new = {name: row for name, row in self._new.items() if name not in by_name}
        self._until = now + self._keep

    def named(self, name: str) -> KnownSource | None:
        """The source of that name."""
        return self._by_name.get(name)

    def of(self, application: str, facility: str, names: Collection[str] = ()) -> KnownSource:
        """The source of a message. names: of its sender's certificate, once it was verified."""
        for name in names:
            if found := self._by_certificate.get(name):
                return found
        if not (application or facility):
            return self._of_nobody()
        if found := self._by_sender.get((application, facility)):
            return found
        unconfirmed = sum(known.state == NEW for known in self._by_name.values())
        if unconfirmed >= NEW_MAXIMUM:
            return self._of_nobody()
        return self._begin(self._free_name(application, facility), application, facility)

    def new(self, names: Collection[str]) -> list[SourceRow]:
        """The rows of those sources that are not in the table yet."""
        return [self._new[name] for name in sorted(set(names)) if name in self._new]

    def _of_nobody(self) -> KnownSource:
        return self._by_name.get(UNKNOWN) or self._begin(UNKNOWN, "", "")

    def _free_name(self, application: str, facility: str) -> str:
        """A name from what the sender calls itself, the same in every process."""
        words = "-".join(word for word in (application, facility) if word).lower()
        name = re.sub(r"[^a-z0-9._]+", "-", words).strip("-._")[:40].strip("-._")
        if not name or name == UNKNOWN or name in self._by_name:
            digest = sha256(f"{len(application)}:{application}{facility}".encode()).hexdigest()[:8]
            name = f"{name or 'sender'}-{digest}"
        return name

    def _begin(self, name: str, application: str, facility: str) -> KnownSource:
        row = SourceRow(name, application, facility, NEW, "{}", self._clock())
        known = known_source(row)
        self._new[name] = row
        self._by_name[name] = known
        if application or facility:
            self._by_sender[(application, facility)] = known
        return known
