"""`baton hl7v2`: looking at received messages, deciding about some, and their senders.

Covers server/hl7v2_command.py and server/hl7v2_source_command.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import command_context, hl7v2_command
from server.fhir.dates import microseconds
from server.settings import Settings
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_sources import SourceRow


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Any) -> Any:
    """Runs a subcommand of `baton hl7v2` beside the server of the test."""
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)

    def run(*arguments: str, input: str = "") -> Result:
        return CliRunner().invoke(hl7v2_command.hl7v2, list(arguments), input=input)

    return run


@pytest.fixture
def sent(store: Any, clock: Any) -> list[int]:
    """Three messages: two failed, one waits."""
    numbers = []
    for number, state in enumerate(("failed", "failed", "received")):
        at = microseconds(clock.advance(seconds=1))
        new = NewMessage(
            "adt", "mllp", f"C{number}", bytes([number]) * 32, at, b"MSH|made by a test", "ADT", "A08",
            order_key=number, mrn=f"M{number}", state=state, error="unreadable it is" * (state == "failed"),
            ack_code="AA",
        )  # fmt: skip
        (kept,) = store.hl7v2_log.keep(
            [new], since=0, new_sources=[SourceRow("adt", "ADT", "H", "new", "{}", at)]
        )
        numbers.append(kept.id)
    return numbers


def numbers(result: Result) -> list[int]:
    """The numbers at the beginning of lines."""
    assert result.exit_code == 0, result.output
    return [int(line.split()[0]) for line in result.stdout.splitlines()]


def test_messages_are_listed_by_what_is_asked_for(baton: Any, sent: list[int]) -> None:
    assert numbers(baton("list")) == sent[::-1]
    assert numbers(baton("list", "--state", "failed", "--limit", "1")) == [sent[1]]
    assert numbers(baton("list", "--mrn", "M0", "--type", "ADT^A08")) == [sent[0]]
    assert json.loads(baton("list", "--control-id", "C2", "--json").stdout)["state"] == "received"
    assert "no message is so" in baton("list", "--visit", "none").output


def test_a_message_is_shown_in_words_as_json_and_as_it_came(baton: Any, sent: list[int]) -> None:
    assert "unreadable it is" in baton("show", str(sent[0])).stdout
    assert json.loads(baton("show", str(sent[0]), "--json").stdout)["mrn"] == "M0"
    assert baton("show", str(sent[0]), "--raw").stdout_bytes == b"MSH|made by a test"
    assert baton("show", "99999").exit_code == 1


def test_looks_are_kept_in_the_trail_without_what_was_looked_for(
    baton: Any, sent: list[int], store: Any
) -> None:
    baton("list", "--mrn", "M0")
    baton("show", str(sent[0]))
    told = {(row.interaction, row.detail, row.client_id) for row in store.audit_rows(limit=10)}
    assert ("hl7v2-search", "mrn", "baton-cli") in told
    assert ("hl7v2-read", f"message={sent[0]}", "baton-cli") in told


def test_what_is_not_done_is_summed_up_by_source(baton: Any, sent: list[int]) -> None:
    (row,) = json.loads(baton("status", "--json").stdout)
    assert (row["source"], row["waiting"], row["failed"], row["parked"]) == ("adt", 1, 2, 0)
    assert "waiting 1  failed 2  parked 0" in baton("status").stdout


def test_many_messages_are_replayed_after_a_question(baton: Any, sent: list[int], store: Any) -> None:
    assert "2 messages are meant" in baton("replay", "--state", "failed", "--dry-run").stdout
    assert baton("replay", "--state", "failed", input="n\n").exit_code == 1
    assert numbers(baton("list", "--state", "failed")) == [sent[1], sent[0]]
    assert "2 of 2 messages" in baton("replay", "--state", "failed", input="y\n").stdout
    assert numbers(baton("list", "--state", "received")) == sent[::-1]
    assert any(row.interaction == "hl7v2-replay" for row in store.audit_rows(limit=10))


def test_messages_are_parked_released_and_discarded_by_their_numbers(baton: Any, sent: list[int]) -> None:
    assert "1 of 1" in baton("park", str(sent[2])).stdout
    assert numbers(baton("list", "--state", "parked")) == [sent[2]]
    assert "1 of 1" in baton("release", str(sent[2])).stdout
    assert (
        "1 of 2 messages, 1 were not in a state for it" in baton("discard", str(sent[2]), str(sent[0])).stdout
    )
    assert "discarded" in baton("show", str(sent[2])).stdout


@pytest.mark.parametrize("arguments", [("replay",), ("replay", "1", "--state", "failed"), ("park", "x")])
def test_what_is_meant_has_to_be_said_one_way(baton: Any, arguments: tuple[str, ...]) -> None:
    assert baton(*arguments).exit_code == 2


def test_senders_are_confirmed_and_heard_as_they_are_set(baton: Any, sent: list[int], store: Any) -> None:
    assert "adt\tnew\tADT|H" in baton("sources", "list").stdout
    baton("sources", "confirm", "adt")
    done = baton("sources", "set", "adt", "on_error=park", 'authorities=["H"]', "production=false")
    assert done.exit_code == 0, done.output
    shown = json.loads(baton("sources", "show", "adt").stdout)
    assert shown["state"] == "confirmed"
    assert shown["settings"] == {"on_error": "park", "authorities": ["H"], "production": False}
    baton("sources", "set", "adt", "on_error=")
    assert "on_error" not in json.loads(baton("sources", "show", "adt").stdout)["settings"]
    refused = baton("sources", "set", "adt", "on_error=never")
    assert refused.exit_code == 1
    assert "on_error is one of" in refused.output
    assert baton("sources", "disable", "nobody").exit_code == 1
