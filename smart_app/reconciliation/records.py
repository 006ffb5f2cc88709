"""The values that pass between the steps of a reconciliation. All frozen; all order is meaningful.

Quantities are exact: `Decimal` for amounts as written, `Fraction` for rates (once a week is 1/7 a
day). Units are UCUM. A field that is `None` is *unknown*, which is never equal to anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Protocol

from smart_app.reconciliation.safety.context import UNKNOWN, PatientContext
from terminology.drug_records import Concept, Drug, NameMatch

ALGORITHM_VERSION = "2.0.0"
"""Changes whenever the same input may give another output."""


class Side(StrEnum):
    """Where a list stands relative to the transition; evidence is shown but is never a line."""

    BEFORE = "before"
    AFTER = "after"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Source:
    """The list an item was read from, and who said so."""

    key: str
    """Stable name of the list within one reconciliation: `home`, `discharge`, `fills` or a `List/id`."""
    side: Side
    label: str
    """Words for people: "Home medications", "Discharge orders", "Pharmacy fills"."""
    asserter: str | None = None
    """Display, else reference, of requester, informationSource or performer."""
    date: str | None = None
    """FHIR dateTime as recorded (authoredOn, dateAsserted, whenHandedOver): may be partial."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount with its UCUM unit; `{tbl}` and the like count dosage units (UCUM annotations)."""

    value: Decimal
    unit: str


class MappingMethod(StrEnum):
    """How a medication got its concept; everything but the first three is shown to the reader."""

    RXCUI = "rxcui"
    NDC = "ndc"
    EXACT_NAME = "exact-name"
    NORMALISED_NAME = "normalised-name"
    MISSPELT_NAME = "misspelt-name"
    AMBIGUOUS = "ambiguous"
    CONTRADICTION = "contradiction"
    UNMAPPED = "unmapped"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Provenance of a normalisation. `confidence` is 0 (not mapped) to 1 (given by a code)."""

    method: MappingMethod
    confidence: Decimal
    words: str
    """One sentence for people: which code or text was used, and what was ignored."""
    candidates: tuple[str, ...] = ()
    """RxCUIs among which the text did not decide (AMBIGUOUS), or that disagree (CONTRADICTION)."""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One active ingredient, folded to its RxNorm IN; the salt is kept apart (domain 3.2)."""

    rxcui: str
    name: str
    salt: str | None = None
    """Name of the precise ingredient where the product names one, e.g. `metoprolol tartrate`."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How much of an ingredient one dosage unit, or one unit of `per`, contains."""

    ingredient: str
    """RxCUI of the IN."""
    value: Decimal
    unit: str
    """UCUM numerator: mg, [iU], meq, mL ..."""
    per: str | None = None
    """UCUM denominator: mL, mg, h, {actuat}; None: one dosage unit (tablet, capsule, patch)."""


@dataclass(frozen=True, slots=True)
class Medication:
    """A medication as understood. Unmapped: no ingredients, and `name` is the original text."""

    name: str
    mapping: Mapping
    original: str
    """The text as the source has it; always shown on request."""
    rxcui: str | None = None
    product: str | None = None
    """RxCUI of the generic product (SCD, or GPCK of a pack), a brand folded to it."""
    ingredients: tuple[Ingredient, ...] = ()
    """Sorted by RxCUI; empty when unmapped or when the vocabulary cannot resolve them all."""
    strengths: tuple[Strength, ...] = ()
    brand: str | None = None
    form: str | None = None
    """Dose form without its release words: "Oral Tablet", "Injectable Solution"."""
    release: str | None = None
    """`immediate`, `delayed`, `extended`, or extended with hours such as `extended 24 h`."""
    route: str | None = None
    """Route implied by the form: oral, topical, inhalation ...; None when the form does not say."""
    package: str | None = None
    """Package quantity that is part of the product: "10 mL", "60 actuations"."""
    inferred: bool = False
    """Product and form are those of the only product of that strength: the source names no form."""

    @property
    def is_mapped(self) -> bool:
        return bool(self.ingredients)

    @property
    def ingredient_key(self) -> frozenset[str]:
        """RxCUIs of the ingredients, a combination compared as a set."""
        return frozenset(ingredient.rxcui for ingredient in self.ingredients)


class SigBasis(StrEnum):
    """From what an instruction was understood, the surest first."""

    CODES = "codes"
    CODES_AND_TEXT = "codes-and-text"
    TEXT = "text"
    NOTHING = "nothing"


SIG_CONFIDENCE = {
    SigBasis.CODES: Decimal("1"),
    SigBasis.CODES_AND_TEXT: Decimal("0.95"),
    SigBasis.TEXT: Decimal("0.9"),
    SigBasis.NOTHING: Decimal("0"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a schedule: a stage of a taper, or the days of the week on which one amount is taken."""

    dose: Amount | None
    per_day: Fraction | None
    """Administrations a day, over the whole week: three days a week 3/7."""
    when: tuple[str, ...] = ()
    duration_days: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Sig:
    """How a medication is taken. `text` is what the source says, else its structured parts in words."""

    text: str
    dose: Amount | None = None
    """One administration as written: 2 {tbl}, 40 mg, 10 [iU]."""
    dose_again: Amount | None = None
    """The same dose stated a second way: "2 tablets (40 mg)"; checked against the strength."""
    dose_high: Amount | None = None
    """Upper end of a dose range; a range is never equal automatically (see `complex`)."""
    per_day: Fraction | None = None
    """Administrations a day: BID 2, every other day 1/2, weekly 1/7."""
    when: tuple[str, ...] = ()
    """FHIR EventTiming codes, times of day HH:MM:SS and days of week, sorted: HS, ACM, 08:00:00, mon."""
    as_needed: bool | None = False
    as_needed_for: str | None = None
    duration_days: Fraction | None = None
    route: str | None = None
    """In the vocabulary of `Medication.route`; None when the source does not say."""
    beside: tuple[str, ...] = ()
    """What is said beside dose, timing and text, folded: additional and patient instructions. Only compared."""
    steps: tuple[Step, ...] = ()
    """A taper or amounts by day of the week, as far as it was understood; then `complex` says so."""
    unread: bool = False
    """The structure is complete, but the text beside it was not understood: it may say more."""
    complex: tuple[str, ...] = ()
    """Why this sig is not comparable: taper, sliding scale, as directed, dose range, not understood."""
    basis: SigBasis = field(default=SigBasis.NOTHING, compare=False)
    """Where dose and frequency come from; no part of equality: two charts may say the same in two ways."""

    @property
    def confidence(self) -> Decimal:
        """0 (nothing understood) to 1 (coded); half of it where the instruction is not comparable."""
        sure = SIG_CONFIDENCE[self.basis]
        return sure / 2 if self.complex else sure

    @property
    def is_complete(self) -> bool:
        """Dose and frequency are both known and nothing is complex: the only sig that can be equal."""
        return self.dose is not None and self.per_day is not None and not self.complex


@dataclass(frozen=True, slots=True)
class IngredientAmount:
    """An amount of one ingredient (RxCUI of IN) in a UCUM unit; a per-dose or a per-day amount."""

    ingredient: str
    value: Fraction
    unit: str


@dataclass(frozen=True, slots=True)
class Item:
    """One medication line of one list."""

    reference: str
    """`Type/id` in the chart it came from."""
    version: str | None
    """meta.versionId of that resource, for Provenance and for the re-read at signing."""
    source: Source
    medication: Medication
    sig: Sig
    status: str
    """Status code of the resource as recorded."""
    per_dose: tuple[IngredientAmount, ...] = ()
    per_day: tuple[IngredientAmount, ...] = ()
    """Both sorted by ingredient; empty when strength, dose or frequency is unknown."""
    identifiers: tuple[str, ...] = ()
    """`system|value` of the resource, sorted."""
    based_on: tuple[str, ...] = ()
    """References this line rests on (basedOn, derivedFrom, priorPrescription, authorizingPrescription)."""
    start: str | None = None
    end: str | None = None
    """FHIR dateTimes of the effective or validity period, as recorded."""
    indication: str | None = None
    days_supply: Decimal | None = None
    """Evidence only."""
    resource: dict[str, object] = field(default_factory=dict, compare=False, hash=False, repr=False)
    """The resource as read, for the write-back; not part of equality."""


class GroupKind(StrEnum):
    IDENTICAL = "identical"
    CHANGED = "changed"
    POSSIBLE = "possible"
    ONLY_BEFORE = "only-before"
    ONLY_AFTER = "only-after"


class DifferenceKind(StrEnum):
    DOSE = "dose"
    FREQUENCY = "frequency"
    ROUTE = "route"
    FORM = "form"
    RELEASE = "release"
    BRAND = "brand"
    STRENGTH = "strength"
    PRN = "prn"
    DURATION = "duration"
    TIMING = "timing"
    SUBSTITUTION = "substitution"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute that differs, in words: `before` and `after` are the two values as people read them."""

    kind: DifferenceKind
    before: str
    after: str
    words: str
    """A sentence, e.g. "Dose 40 mg before, 80 mg after."."""


@dataclass(frozen=True, slots=True)
class Group:
    """One line of the board: what belongs together, why, and what differs.

    `before` and `after` hold at most one item each, except where one combination product stands
    against several single ones. `evidence` are the fills that speak about this line.
    """

    key: str
    """Stable for the same members whatever their order: the handle of Decisions and of page elements."""
    kind: GroupKind
    before: tuple[Item, ...]
    after: tuple[Item, ...]
    evidence: tuple[Item, ...]
    tier: int
    """Domain 3.3: 0 linked, 1 same product, 2 brand of it, 3 same ingredients, 4 overlapping, 5 same class
    or equal unmapped text, 7 alone."""
    differences: tuple[Difference, ...]
    reason: str


class AlertKind(StrEnum):
    DUPLICATE_INGREDIENT = "duplicate-ingredient"
    DUPLICATE_CLASS = "duplicate-class"
    INTERACTION = "interaction"
    ALLERGY = "allergy"
    HIGH_ALERT = "high-alert"
    OLDER_ADULT = "older-adult"
    RENAL = "renal"
    DOSE = "dose"
    ADHERENCE_GAP = "adherence-gap"


class Severity(StrEnum):
    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Alert:
    """A safety finding about lines of one list. `references` are sorted and include the allergy."""

    kind: AlertKind
    severity: Severity
    references: tuple[str, ...]
    rule: str
    source: str
    """Who says so, with the year."""
    words: str
    """What was found, and what to do."""
    action: str = ""
    """What to do, by itself."""
    code: str = ""
    """v3-ActCode for DetectedIssue.code, where there is one."""
    lists: tuple[str, ...] = ()
    """Where it was found: `before`, `after`, `result` (what the patient takes after all decisions so far)."""
    also: tuple[str, ...] = ()
    """What other sources say about the same, each with its year; sentences."""


@dataclass(frozen=True, slots=True)
class Allergy:
    """An active allergy or intolerance as far as it names drug ingredients."""

    reference: str
    version: str | None
    text: str
    ingredients: tuple[Ingredient, ...]
    kind: str | None
    """AllergyIntolerance.type: allergy, intolerance or None."""
    criticality: str | None
    verification: str | None
    families: tuple[str, ...] = ()
    """Families of medicines that it names as such ("penicillins"), by id."""
    recorded: str | None = None
    """FHIR dateTime."""
    reaction_severity: str | None = None
    """The gravest that was recorded: severe, moderate, mild or None."""


@dataclass(frozen=True, slots=True)
class Burden:
    """How much a list asks of the patient. The complexity index: `forms` (A), `frequencies` (B), `directions`
    (C, an estimate from words)."""

    medicines: int
    polypharmacy: str
    """`poly` from five, `hyper` from ten medicines, else empty."""
    forms: int
    frequencies: Decimal
    directions: int
    unknown: int
    """Lines whose form or frequency is not known: they add nothing to A or B."""
    prescribers: int
    many_prescribers: bool
    pharmacies: int
    many_pharmacies: bool
    source: str


@dataclass(frozen=True, slots=True)
class Versions:
    algorithm: str
    terminology: str
    rules: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What the board shows. `unmatched_evidence` are fills of drugs on neither list."""

    groups: tuple[Group, ...]
    alerts: tuple[Alert, ...]
    versions: Versions
    unmatched_evidence: tuple[Item, ...] = ()
    not_checked: tuple[str, ...] = ()
    """What no rule looked at, in words, to be shown wherever alerts are shown."""
    burden: Burden | None = None
    """Of the resulting list."""


class DecisionKind(StrEnum):
    """Domain 3.6. Words, rules and roles of each: `data/decisions.toml`, read by `decide`."""

    CONTINUE = "continue"
    MODIFY = "modify"
    STOP = "stop"
    NEW = "new"
    SUBSTITUTE = "substitute"
    HOLD = "hold"
    CLARIFY = "clarify"
    NOT_TAKING = "not-taking"
    DUPLICATE_MERGE = "duplicate-merge"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about one group."""

    group_key: str
    kind: DecisionKind
    reason: str | None = None
    """Free words; required where the decision's rule says so."""
    regimen: str | None = None
    """MODIFY: the target regimen as text, e.g. "40 mg by mouth twice daily"."""
    resume: date | None = None
    """HOLD: the day to take it up again; None: until the condition in `reason`."""
    survivor: str | None = None
    """DUPLICATE_MERGE: reference of the line that stays (may belong to another group)."""
    bulk: bool = False
    """True when it came from "accept the rest": allowed only for tier 1-2 groups without alerts."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A resource that is not a line, and the stated rule why: nothing disappears silently."""

    reference: str
    why: str


@dataclass(frozen=True, slots=True)
class Collected:
    """A chart, sorted into sides."""

    before: tuple[Item, ...]
    after: tuple[Item, ...]
    evidence: tuple[Item, ...]
    allergies: tuple[Allergy, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    patient: str | None = None
    """`Patient/id`."""
    encounter: str | None = None
    """`Encounter/id` of the discharge, where one was found."""
    context: PatientContext = UNKNOWN
    """What the safety checks ask of the chart beside the lists."""


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """A resource as it was read: an entity of the Provenance, and what signing re-reads."""

    reference: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Signing:
    """Everything the write-back needs that is neither a group nor a decision. Times are aware UTC."""

    session_id: str
    """The transaction's identity: the same session signed twice writes the same resources."""
    patient: str
    """`Patient/id` in the store."""
    author: str
    """`Practitioner/id` or `PractitionerRole/id` in the store, or an absolute URL."""
    role: str
    """Role of the author in `data/decisions.toml`."""
    signed_at: datetime
    author_display: str | None = None
    encounter: str | None = None
    prescriber: str | None = None
    """Owner of clarification Tasks; None leaves the Task unowned."""
    chart_base: str | None = None
    """Base URL of the chart when it is not the store: references to it become absolute."""
    previous_list: dict[str, object] | None = None
    """The current 10160-0 List of the store with its meta.versionId, to be retired with If-Match."""


class DrugLookup(Protocol):
    """What the rules ask of a drug vocabulary; every method is a pure lookup."""

    @property
    def version(self) -> str:
        """Name and content hash of the vocabulary, part of every result."""

    def concept(self, rxcui: str) -> Concept | None: ...

    def by_ndc(self, ndc: str) -> Concept | None: ...

    def by_name(self, text: str) -> NameMatch | None: ...

    def drug(self, rxcui: str) -> Drug | None: ...

    def classes(self, ingredient: str) -> tuple[Concept, ...]:
        """Established pharmacologic classes (EPC) of an ingredient."""
