"""What every part of a running app shares."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from smart_app.capability import KnownCapabilities
from smart_app.reconciliation.records import DrugLookup
from smart_app.reconciliation.safety.rule_engine import Rule
from smart_app.settings import Settings
from smart_app.smart_configuration import Clock
from smart_app.transitions.calendar import Calendar


@dataclass(frozen=True, slots=True)
class Runtime:
    """settings; the clock (aware UTC); the drug vocabulary; threads for searches
    that run side by side; what FHIR servers can do; business days with the site's closures;
    safety rules of the site beside the shipped ones."""

    settings: Settings
    clock: Clock
    terminology: DrugLookup
    pool: Executor
    capabilities: KnownCapabilities
    calendar: Calendar
    site_rules: tuple[Rule, ...] = ()
