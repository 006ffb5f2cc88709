"""What the pages show: frozen records, made by `chart`, `board`, `worklist` and read by the templates.

Dates as FHIR recorded them stay FHIR strings (they may be partial: "2020-05"); instants that we
computed are aware UTC datetimes. Nothing here is translated: words are English message ids, and the
templates pass them through gettext with `values`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from smart_app.reconciliation.decide import Completeness, RoleRule
from smart_app.reconciliation.records import Collected, Decision, Reconciliation


@dataclass(frozen=True, slots=True)
class Notice:
    """An honest sentence about what is missing or different: shown at the top of a page.

    kind: `partial` (something did not answer), `not-connected` (no store), `permission`, `info`.
    text: English message id; `values` fill its %(name)s.
    """

    kind: Literal["partial", "not-connected", "permission", "info"]
    text: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Banner:
    """Who the page is about. `shown` is False where the EHR asked for no banner (it shows its own)."""

    name: str
    birth_date: str
    """FHIR date, "" when unknown."""
    age: int | None
    gender: str
    """FHIR administrative gender code, "" when unknown."""
    identifiers: tuple[tuple[str, str], ...]
    """(label, value), the medical record number first."""
    deceased: bool
    shown: bool
    allergies: tuple[AllergyLine, ...] | None = ()
    """Active ones; None where they could not be read, which is not the same as none."""


@dataclass(frozen=True, slots=True)
class MedicationLine:
    reference: str
    kind: Literal["order", "statement", "fill"]
    name: str
    sig: str
    status: str
    date: str
    """authoredOn, dateAsserted or whenHandedOver: FHIR dateTime."""
    by: str


@dataclass(frozen=True, slots=True)
class AllergyLine:
    reference: str
    name: str
    reactions: tuple[str, ...]
    criticality: str
    clinical_status: str
    verification_status: str
    recorded: str
    kind: str = ""
    """AllergyIntolerance.type: allergy, intolerance or ""."""


@dataclass(frozen=True, slots=True)
class ConditionLine:
    reference: str
    name: str
    clinical_status: str
    onset: str


@dataclass(frozen=True, slots=True)
class EncounterLine:
    """`is_discharge`: a finished stay of an origin that opens a transition (transitions/data)."""

    id: str
    class_code: str
    kind: str
    status: str
    start: str
    end: str
    reason: str
    place: str
    discharged_to: str
    is_discharge: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The patient's page: newest first; `notices` say what could not be read."""

    banner: Banner
    medications: tuple[MedicationLine, ...]
    allergies: tuple[AllergyLine, ...]
    conditions: tuple[ConditionLine, ...]
    encounters: tuple[EncounterLine, ...]
    notices: tuple[Notice, ...]
    retrieved_at: datetime


@dataclass(frozen=True, slots=True)
class DraftState:
    """The autosaved draft as the store has it. `version` goes into the page and comes back with a save."""

    version: str | None
    decisions: tuple[Decision, ...]
    saved_at: datetime | None = None
    saved_by: str = ""


@dataclass(frozen=True, slots=True)
class LineConflict:
    """One line that two people decided differently; None: no decision."""

    group_key: str
    mine: Decision | None
    theirs: Decision | None


@dataclass(frozen=True, slots=True)
class DraftSaved:
    """Saved. `taken_over`: group keys which somebody else decided meanwhile and that were merged in."""

    draft: DraftState
    completeness: Completeness
    taken_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftConflict:
    """Nothing was saved. `draft` is theirs; saving again with its version lets mine win."""

    draft: DraftState
    conflicts: tuple[LineConflict, ...]


@dataclass(frozen=True, slots=True)
class SignedList:
    """The list signed for this discharge."""

    reference: str
    signed_at: str
    signed_by: str


@dataclass(frozen=True, slots=True)
class Board:
    """Everything the reconciliation board shows.

    seen: opaque; which versions of the sources this page rests on. It goes into the sign form and
    comes back unchanged.
    why_not_save, why_not_sign: message ids, "" when allowed.
    """

    banner: Banner
    encounter: EncounterLine | None
    encounters: tuple[EncounterLine, ...]
    """The discharges one may reconcile, newest first."""
    collected: Collected
    reconciliation: Reconciliation
    draft: DraftState
    completeness: Completeness
    bulk: frozenset[str]
    """Group keys that "they are the same" may accept together."""
    role: RoleRule
    why_not_save: str
    why_not_sign: str
    signed: SignedList | None
    seen: str
    notices: tuple[Notice, ...]
    retrieved_at: datetime

    @property
    def may_save(self) -> bool:
        return not self.why_not_save

    @property
    def may_sign(self) -> bool:
        return not self.why_not_sign


@dataclass(frozen=True, slots=True)
class ChangedSource:
    """A source that is no longer what the page showed."""

    reference: str
    what: Literal["changed", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Signed:
    """The transaction was accepted. `again`: this session had been signed before; nothing changed."""

    snapshot: str
    """`List/id` of what to take now."""
    changes: str
    """`List/id` of what changed."""
    statements: tuple[str, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class SourcesChanged:
    """Not signed: back to the board with what changed."""

    changed: tuple[ChangedSource, ...]


@dataclass(frozen=True, slots=True)
class NotSigned:
    """Not signed. `text` is a message id with `values`; `faults` are (group key, sentence)."""

    text: str
    values: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[tuple[str, str], ...] = ()


ClockState = Literal["open", "due-today", "met", "met-late", "late", "unknown"]


@dataclass(frozen=True, slots=True)
class Clock:
    """One time limit of a transition.

    kind: contact (two business days), service (48 hours), visit-7, visit-14, period (30 days).
    due: aware UTC instant after which it is late; None when the calendar does not cover it.
    share: how much of the time is used, 0.0 to 1.0.
    words: message id with `values`, e.g. "Contact due today".
    """

    kind: str
    due: datetime | None
    state: ClockState
    share: float
    words: str
    values: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""
    """Rule, version and source, for people who ask."""


@dataclass(frozen=True, slots=True)
class Attempt:
    at: datetime
    by: str
    outcome: str
    """Code of transitions/data/contact-outcomes.json."""
    reached: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReconciliationState:
    kind: Literal["none", "draft", "signed"]
    by: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One discharge. `task_version` and `form_id` go into the forms and come back unchanged."""

    task_id: str
    task_version: str
    task_status: str
    patient_id: str
    name: str
    age: int | None
    gender: str
    record_number: str
    encounter_id: str
    discharged_at: datetime
    discharge_date: date
    """Day 0, in the practice's zone."""
    discharged_to: str
    place: str
    stay_days: int | None
    reason: str
    clocks: tuple[Clock, ...]
    next_clock: Clock | None
    attempts: tuple[Attempt, ...]
    reconciliation: ReconciliationState
    next_step: str
    """Message id: the next thing to do in words."""
    owner: str
    form_id: str


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure at the top of the worklist: `count` of `total`, as of now."""

    label: str
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Worklist:
    rows: tuple[WorklistRow, ...]
    """Sorted by the clock that runs out next."""
    tiles: tuple[Tile, ...]
    notices: tuple[Notice, ...]
    time_zone: str
    days: int
    """How far back it looks."""
    retrieved_at: datetime
    etag: str
    """Changes when anything shown changes (not with the passing of seconds): for polling."""


@dataclass(frozen=True, slots=True)
class ContactLogged:
    """`again`: the same form was sent before; nothing was written twice."""

    reached: bool
    again: bool = False


@dataclass(frozen=True, slots=True)
class ContactConflict:
    """Somebody else worked on this outreach meanwhile: reload, and see who and what."""

    by: str
    at: str
    text: str
