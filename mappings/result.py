"""What a map makes of a message: intents for resources, with a trace. Values between maps and who applies them.

A map knows the message and nothing else. So it does not say what a resource is to become, but what the message
says of it: who applies it looks up what is stored under the identity and puts both together.

Structs, not dataclasses: a message has hundreds of these, and frozen dataclasses take many times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Source:
    """A sender, as it is configured.

    name: unique. time_zone: IANA name for times without an offset, "" for none known. systems: namespace of an
    assigning authority or coding system as sent -> URI. authorities: namespaces of patient identifiers, the
    first that is there identifies the patient. production: test and debugging messages (MSH-11) are refused.
    medication_list: its orders also make MedicationStatements. switches: the choices that rules leave to a
    site, by name. overlay: name of the folder of maps that wins over the base, "" for none.
    """

    name: str
    time_zone: str = ""
    systems: Mapping[str, str] = field(default_factory=dict)
    authorities: tuple[str, ...] = ()
    production: bool = True
    medication_list: bool = False
    switches: Mapping[str, str] = field(default_factory=dict)
    overlay: str = ""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What a resource is known by for good: a system and a value, for one resource type.

    value: may be made of several parts of the message, joined by `|`; never made of values that can be equal
    for two things. Written as an identifier of the resource where `is_identifier`.
    """

    system: str
    value: str
    is_identifier: bool = True


class Intent(msgspec.Struct, frozen=True):
    """What the message says of one resource.

    key: names it within the message; references between intents are `{"reference": "#intent:KEY"}`.
    resource: FHIR JSON without id. identities: by which it is found, best first; none makes a new one each
    time that the message is applied first.
    write: `merge`: what the message says replaces what is stored, the rest stays. `create`: nothing happens to
    one that is there. `replace`: the whole resource. `retire`: marked as its type is marked when it was in
    error or is out of use; nothing happens where there is none.
    cleared: paths (dots) that the message empties on purpose (`""`). lists: path -> how a repeating element
    joins with what is stored: `union` (by equal content), `union:system,value` (by these elements),
    `transfer` (open periods of the others end at `moment`). Without an entry a list replaces the list.
    keep: paths that are only set where nothing is stored.
    status: path of an element whose stored value may only go up in `ranks` (a late preliminary result never
    replaces a final one); a lower one leaves the resource as it is, with an equal one the later moment wins.
    """

    key: str
    resource: Mapping[str, Any]
    identities: tuple[Identity, ...] = ()
    write: str = "merge"
    cleared: tuple[str, ...] = ()
    lists: Mapping[str, str] = msgspec.field(default_factory=dict)
    keep: tuple[str, ...] = ()
    status: str = ""
    ranks: Mapping[str, int] = msgspec.field(default_factory=dict)


class Merge(msgspec.Struct, frozen=True, gc=False):
    """Two of what was thought to be different: the survivor goes on, the victim points at it.

    resource_type: Patient, Encounter or Account. keys of intents.
    """

    resource_type: str
    survivor: str
    victim: str


class Finding(msgspec.Struct, frozen=True, gc=False):
    """Something that the map could not do as one would wish: a code that no table has, a date that is none.

    code: of a fixed list (`mappings/findings.json`). position: where in the message, as `PID[1]-3[1].4.2`, ""
    for the whole. text: words without anything of the message.
    """

    code: str
    position: str
    text: str


class Step(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One element of the result and where it came from.

    In JSON a list of its members in their order, those at the end that are as by default left out.

    intent: key. path: FHIRPath of the element. positions: of what was read. rule: `file:line`. using: the
    datatype function, "" for none. table: `name:code`, "" for none. raw: what was read; value: what it became.
    """

    intent: str
    path: str
    positions: tuple[str, ...]
    rule: str
    using: str = ""
    table: str = ""
    raw: str = ""
    value: Any = None


class Mapped(msgspec.Struct, frozen=True):
    """refused: why the message as a whole cannot be mapped (`Finding`), None for none.

    moment: the event's time in UTC microseconds (EVN-6, EVN-2, MSH-7, else when it was received): what is
    older never overwrites what is newer. read: positions of filled components that something was made of;
    unread: of those that nothing was.
    """

    version: str
    moment: int
    intents: tuple[Intent, ...] = ()
    merges: tuple[Merge, ...] = ()
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    unread: tuple[str, ...] = ()
    refused: Finding | None = None
