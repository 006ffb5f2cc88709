"""What applying a message again would change is told before it is done, and is what is done then.

Covers server/hl7v2/preview.py and preview_text.py, with the shipped maps and an overlay of the test.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mappings.engine import MapSet, load
from server.fhir.dates import microseconds
from server.hl7v2.mapping import Mapping
from server.hl7v2.preview import Preview, preview
from server.hl7v2.preview_text import Summary, lines
from server.hl7v2.sources import Sources
from server.storage.hl7v2_sources import SourceRow

HEADER = "code,system,target,display,equivalence,note,source\n"
GENDER = "Q,http://hl7.org/fhir/administrative-gender,other,Other,inexact,,site\n"


def admission(mrn: str = "77", minute: int = 30, event: str = "A01") -> bytes:
    """Patient and visit, with a sex that no shipped table has."""
    return (
        f"MSH|^~\\&|ADT|HOSP|B|C|2024021509{minute}00+0000||ADT^{event}|C{minute}|P|2.5.1\rEVN|{event}\r"
        f"PID|||{mrn}^^^HOSP^MR||SYNTHETIC^ALPHA||19480311|Q\r"
        f"PV1||I|3W^301^A||||||||||||||||V{mrn}^^^HOSP\r"
    ).encode()


class Site:
    """A feed that is mapped by real maps, before and after the site writes an overlay."""

    def __init__(self, feed: Any, folder: Path) -> None:
        self.feed, self.folder = feed, folder
        self.maps: MapSet = load()
        self.sources = Sources(feed.store.hl7v2_sources, lambda: microseconds(feed.clock()), seconds=0)
        self.set_overlay("")
        feed.work = feed.worker(mapper=Mapping(self.sources, lambda: self.maps))

    def set_overlay(self, name: str) -> None:
        settings = f'{{"overlay": "{name}"}}' if name else "{}"
        at = microseconds(self.feed.clock())
        self.feed.store.hl7v2_sources.put(SourceRow("adt", "ADT", "HOSP", "confirmed", settings, at))

    def write_overlay(self) -> None:
        tables = self.folder / "ward" / "tables"
        tables.mkdir(parents=True)
        (tables / "0001.csv").write_text(HEADER + GENDER)
        self.maps = load(self.folder)
        self.set_overlay("ward")

    def send(self, raw: bytes, **more: Any) -> int:
        id = self.feed.send(ValueError("not used"), raw=raw, trigger="A01", **more)
        self.feed.run()
        return id

    def preview(self, id: int) -> Preview:
        message = self.feed.store.hl7v2_messages.get(id)
        return preview(self.feed.store, self.sources, self.maps, message)

    def replay(self, id: int) -> None:
        self.feed.store.hl7v2_messages.replay([id], self.feed.clock())
        self.feed.run()


@pytest.fixture
def site(feed: Any, tmp_path: Path) -> Site:
    return Site(feed, tmp_path / "maps")


def told(shown: Preview) -> str:
    return "\n".join(lines(shown))


def test_an_applied_message_would_change_nothing_by_the_same_maps(site: Site) -> None:
    shown = site.preview(site.send(admission()))
    assert shown.is_compared
    assert (shown.said, shown.findings, shown.resources, shown.refused) == ((), (), (), "")
    assert "nothing would change" in told(shown)


def test_what_other_maps_say_is_told_and_is_what_is_done(site: Site) -> None:
    id = site.send(admission())
    before = site.maps.version
    site.write_overlay()
    shown = site.preview(id)
    assert [(one.path, one.before, one.after) for one in shown.said] == [("Patient.gender", None, "other")]
    assert [(one.code, one.is_new) for one in shown.findings] == [("code-unknown", False)]
    (patient,) = shown.resources
    assert [(one.path, one.kind, one.after) for one in patient.changes] == [
        ("Patient.gender", "added", "other")
    ]
    assert (patient.version, patient.faults) == (1, ())
    assert "gender" not in site.feed.one("Patient"), "nothing is written by looking"
    text = told(shown)
    assert f"mapped by {before}, now by {site.maps.version}" in text
    assert 'Patient.gender  nothing -> "other"' in text
    site.replay(id)
    assert site.feed.one("Patient")["gender"] == "other"
    assert site.preview(id).resources == ()


def test_an_older_message_is_told_to_change_nothing(site: Site) -> None:
    first = site.send(admission(minute=30))
    site.send(admission(minute=40, event="A08"))
    site.write_overlay()
    shown = site.preview(first)
    assert shown.said
    assert shown.resources == ()
    assert {one.outcome for one in shown.outcomes} >= {"stale"}


def test_a_refusal_is_told_with_its_reason(site: Site) -> None:
    id = site.send(admission())
    site.set_overlay("nowhere")
    shown = site.preview(id)
    assert shown.refused.startswith("overlay-unknown ")
    assert shown.is_refused
    unreadable = site.feed.send(ValueError("not used"), raw=b"nothing", patient="2")
    assert site.preview(unreadable).refused.startswith("unreadable ")


def test_a_message_that_waits_is_told_of_as_what_would_be_new(site: Site) -> None:
    shown = site.preview(site.feed.send(ValueError("not used"), raw=admission(), trigger="A01"))
    assert not shown.is_compared
    assert {one.resource_type for one in shown.resources if not one.version} >= {"Patient", "Encounter"}
    assert "a new Patient" in told(shown)
    assert site.feed.stored("Patient") == []


def test_a_merge_is_told_with_what_it_would_move(site: Site) -> None:
    site.send(admission("1"))
    site.send(admission("2"), patient="2")
    raw = admission("1", 50, "A40").replace(b"PV1", b"MRG|2^^^HOSP^MR\rZZZ")
    id = site.feed.send(ValueError("not used"), raw=raw, trigger="A40", other="2")
    shown = site.preview(id)
    assert shown.refused == ""
    assert shown.moved == 1, "the visit of the one that ends"
    assert sum(one.resource_type == "Patient" for one in shown.resources) == 2


def test_what_would_not_be_valid_is_told(site: Site) -> None:
    overlay = site.folder / "ward"
    overlay.mkdir(parents=True)
    rules = "  - {to: communication, rules: [{to: preferred, const: 'true'}], always: 'true'}\n"
    (overlay / "p.yaml").write_text("extends: PID_content\nchanges:\n" + rules)
    id = site.send(admission())
    site.maps = load(site.folder)
    site.set_overlay("ward")
    shown = site.preview(id)
    (patient,) = (one for one in shown.resources if one.resource_type == "Patient")
    assert patient.faults
    assert shown.is_refused
    assert "refused:" in told(shown)


def test_a_summary_counts_messages_and_resources(site: Site) -> None:
    id = site.send(admission())
    unchanged = site.preview(id)
    site.write_overlay()
    summary = Summary()
    for shown in (unchanged, site.preview(id), replace(unchanged, refused="ambiguous x")):
        summary.count(shown)
    assert str(summary) == (
        "of 3 messages 1 would change something (1 resources), 1 nothing, 1 would not be applied"
    )
