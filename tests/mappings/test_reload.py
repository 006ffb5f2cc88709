"""A folder that changes while it is used: whole sets, the last good one stays, and it is said why."""

from __future__ import annotations

import os

import pytest

from mappings.engine import MappingErrors
from mappings.reload import LiveMaps

GOOD = "extends: PID\nchanges:\n  - {in: patient, set: {write: create}}\n"


@pytest.fixture
def overlay(tmp_path):
    """A file of an overlay; each writing is a later one."""
    path = tmp_path / "ward" / "pid.yaml"
    path.parent.mkdir()
    times = iter(range(1_000_000_000, 2_000_000_000))

    def write(text: str):
        path.write_text(text, "utf-8")
        os.utime(path, (moment := next(times), moment))
        return tmp_path

    return write


def test_a_good_change_is_taken_as_a_whole(overlay) -> None:
    live = LiveMaps(overlay(GOOD))
    before = live.maps.version
    overlay(GOOD.replace("create", "replace"))
    assert live.refresh().maps.version != before
    assert live.state.problems == ()


def test_a_mistake_keeps_the_last_good_set_and_says_why(overlay) -> None:
    live = LiveMaps(overlay(GOOD))
    good = live.maps
    overlay(GOOD.replace("create", "creat"))
    state = live.refresh()
    assert state.maps is good
    assert [str(problem) for problem in state.problems] == [
        "ward/pid.yaml:3:32: one of merge, create, replace, retire; did you mean 'create'?"
    ]
    overlay(GOOD)
    assert live.refresh().problems == ()


def test_nothing_is_read_again_that_did_not_change(overlay) -> None:
    live = LiveMaps(overlay(GOOD))
    assert live.refresh() is live.refresh()


def test_the_folder_is_looked_at_only_now_and_then(overlay) -> None:
    now = 0.0
    live = LiveMaps(overlay(GOOD), every_seconds=5, clock=lambda: now)
    before = live.maps.version
    overlay(GOOD.replace("create", "replace"))
    now = 4.9
    assert live.maps.version == before
    now = 5.0
    assert live.maps.version != before


def test_without_a_good_set_there_is_nothing_to_keep(overlay) -> None:
    with pytest.raises(MappingErrors):
        LiveMaps(overlay("extends: NOTHING\nchanges: []\n"))
