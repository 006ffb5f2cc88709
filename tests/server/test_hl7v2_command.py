"""`baton hl7v2`: looking at received messages, deciding about some, and their senders.

Covers server/hl7v2_command.py, server/hl7v2_decision_commands.py, server/hl7v2_source_command.py,
server/hl7v2_send_command.py and server/message_log.py.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mappings.cli import map_group
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


ADMISSION = (
    b"MSH|^~\\&|ADT|H|BATON|SITE|20260301080000+0000||ADT^A08^ADT_A01|C9|P|2.5.1\rEVN|A08\r"
    b"PID|||77^^^HOSP^MR||SYNTHETIC^ALPHA||19480311|Q\r"
)


@pytest.fixture
def admitted(store: Any, clock: Any) -> int:
    """A message that failed and that the maps can read; its sender is known."""
    at = microseconds(clock.advance(seconds=1))
    new = NewMessage(
        "adt", "mllp", "C9", b"9" * 32, at, ADMISSION, "ADT", "A08", event_at=at, order_key=9, mrn="77",
        state="failed", error="internal ValueError", ack_code="AA",
    )  # fmt: skip
    known = SourceRow("adt", "ADT", "H", "new", '{"systems": {"HOSP": "urn:oid:2.999.1"}}', at)
    (kept,) = store.hl7v2_log.keep([new], since=0, new_sources=[known])
    return int(kept.id)


def test_what_a_replay_would_change_is_shown_before_it_is_asked_for(
    baton: Any, admitted: int, store: Any
) -> None:
    shown = baton("replay", str(admitted), "--show", input="n\n")
    assert shown.exit_code == 1
    assert "a new Patient" in shown.stdout
    assert "of 1 messages 1 would change something" in shown.stdout
    assert store.hl7v2_messages.get(admitted).state == "failed"
    assert any(row.interaction == "hl7v2-read" for row in store.audit_rows(limit=5))
    assert "1 messages are meant" in baton("replay", str(admitted), "--show", "--dry-run").stdout
    assert "1 of 1 messages" in baton("replay", str(admitted), "--show", "--yes").stdout
    assert store.hl7v2_messages.get(admitted).state == "received"


def test_a_replay_can_be_bound_to_the_maps_in_force(
    baton: Any, admitted: int, store: Any, settings: Settings
) -> None:
    shown = baton("replay", str(admitted), "--show", "--dry-run").stdout
    version = shown.partition("now by ")[2].split()[0]
    refused = baton("replay", str(admitted), "--maps", "0123456789abcdef")
    assert refused.exit_code == 1
    assert f"the maps in force are {version}, not 0123456789abcdef" in refused.stderr
    assert store.hl7v2_messages.get(admitted).state == "failed"
    assert baton("replay", str(admitted), "--maps", version).exit_code == 0
    ward = settings.home / "maps" / "ward"
    ward.mkdir(parents=True)
    (ward / "x.yaml").write_text("nonsense")
    broken = baton("replay", str(admitted), "--show")
    assert broken.exit_code == 1
    assert "the last good maps stay in force" in broken.stderr
    assert "ward/x.yaml:1:1" in broken.stderr


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Any) -> Any:
    """Runs a subcommand of `baton map` beside the server of the test."""
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(map_group, list(arguments))

    return run


def test_a_logged_message_is_explained_by_the_settings_of_its_sender(
    maps: Any, admitted: int, store: Any
) -> None:
    told = maps("explain", str(admitted))
    assert told.exit_code == 0, told.output
    assert 'Patient.identifier[0].system = "urn:oid:2.999.1"' in told.stdout
    assert '"Q" -> unmapped' in told.stdout
    assert "0 without a rule" in told.stdout
    assert json.loads(maps("run", str(admitted)).stdout)["intents"]
    kept = [(row.interaction, row.detail) for row in store.audit_rows(limit=5)]
    assert kept.count(("hl7v2-read", f"message={admitted}")) == 2


def test_a_logged_message_becomes_a_test_that_names_nobody(maps: Any, admitted: int, tmp_path: Path) -> None:
    done = maps("record", str(admitted), str(tmp_path / "test"))
    assert done.exit_code == 0, done.output
    assert "SYNTHETIC" not in (tmp_path / "test.hl7").read_text()
    assert "urn:oid:2.999.1" in (tmp_path / "test.toml").read_text()
    assert maps("test", str(tmp_path)).exit_code == 0


def test_coverage_reads_the_log_of_a_sender_each_message_once(
    maps: Any, admitted: int, store: Any, clock: Any
) -> None:
    at = microseconds(clock())
    again = NewMessage("adt", "mllp", "C9", b"9" * 32, at, ADMISSION, "ADT", "A08", order_key=9, ack_code="AA")
    store.hl7v2_log.keep([again], since=0)
    told = json.loads(maps("coverage", "--sender", "adt", "--json").stdout)
    assert told["messages"] == 1
    assert [row["code"] for row in told["unknown_codes"]] == ["Q"]
    assert json.loads(maps("coverage", "--last", "1", "--json").stdout)["messages"] == 1
    unknown = maps("coverage", "--sender", "nobody")
    assert unknown.exit_code == 1
    assert "there is no sender nobody" in unknown.stderr
    assert any(row.interaction == "hl7v2-search" for row in store.audit_rows(limit=5))


def test_an_overlay_is_tried_on_the_log_before_it_is_in_use(maps: Any, admitted: int, tmp_path: Path) -> None:
    tables = tmp_path / "ward" / "tables"
    tables.mkdir(parents=True)
    header = "code,system,target,display,equivalence,note,source\n"
    (tables / "0001.csv").write_text(
        f"{header}Q,http://hl7.org/fhir/administrative-gender,other,Other,inexact,,site\n"
    )
    tried = maps("explain", str(admitted), "--overlays", str(tmp_path), "--overlay", "ward")
    assert 'Patient.gender = "other"' in tried.stdout
    assert "Patient.gender" not in maps("explain", str(admitted)).stdout


@pytest.mark.parametrize("number", ["99999", "9" * 19, "nothing.hl7"])
def test_what_is_neither_a_file_nor_in_the_log_is_said(maps: Any, store: Any, number: str) -> None:
    found = maps("explain", number)
    assert found.exit_code in (1, 2)
    assert not isinstance(found.exception, Exception) or isinstance(found.exception, SystemExit)
    assert "no message of that number" in found.stderr or "neither a file" in found.stderr


def test_a_source_that_cannot_be_used_is_said(maps: Any, admitted: int, store: Any) -> None:
    store.hl7v2_sources.put(replace(store.hl7v2_sources.get("adt"), settings="nonsense"))
    told = maps("explain", str(admitted))
    assert told.exit_code == 1
    assert "the settings of the source adt cannot be used" in told.stderr


def test_a_sender_is_made_known_before_its_first_message(baton: Any, store: Any) -> None:
    assert baton("sources", "add", "lab", "--application", "LAB", "--facility", "H").exit_code == 0
    assert (store.hl7v2_sources.get("lab").state, store.hl7v2_sources.get("lab").sending_facility) == (
        "confirmed",
        "H",
    )
    again = baton("sources", "add", "other", "--application", "LAB", "--facility", "H")
    assert again.exit_code == 1
    assert "there is a sender lab already" in again.stderr
    assert baton("sources", "add", "Two Words", "--application", "X").exit_code == 2
    assert baton("sources", "add", "lab2").exit_code == 2


def test_an_overlay_that_is_not_there_yet_is_said(baton: Any, sent: list[int]) -> None:
    done = baton("sources", "set", "adt", "overlay=ward")
    assert done.exit_code == 0
    assert "there is no overlay ward yet" in done.stderr


def test_status_waits_until_nothing_does(baton: Any, sent: list[int], store: Any, clock: Any) -> None:
    assert baton("status", "--wait", "1").exit_code == 2
    store.hl7v2_messages.discard(sent, clock(), "discarded x")
    assert baton("status", "--wait", "1").exit_code == 0


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a peer that answers each message with the next of AA and AR, and what it was sent."""
    got: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            read = b""
            while data := connection.recv(65_536):
                read += data
                while b"\x1c\r" in read:
                    frame, _, read = read.partition(b"\x1c\r")
                    got.append(frame[1:])
                    code = b"AR|C|no more" if len(got) % 2 == 0 else b"AA|C"
                    connection.sendall(b"\x0bMSH|^~\\&|B|S|A|H|2026||ACK|1|P|2.3\rMSA|" + code + b"\r\x1c\r")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.getsockname()[1]}", got
    server.close()


def test_files_are_sent_with_their_answers(
    baton: Any, listener: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    address, got = listener
    for number in (1, 2):
        (tmp_path / f"{number}.hl7").write_bytes(ADMISSION.replace(b"\r", b"\n"))
    sent = baton("send", str(tmp_path), "--to", address)
    assert sent.exit_code == 2
    assert sent.stdout.splitlines() == ["AA  1.hl7", "AR  2.hl7  no more"]
    assert got == [ADMISSION, ADMISSION]


def test_a_listener_that_is_not_there_is_said(baton: Any, tmp_path: Path) -> None:
    (tmp_path / "1.hl7").write_bytes(ADMISSION)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert baton("send", str(tmp_path), "--to", f"127.0.0.1:{port}").exit_code == 1
    assert baton("send", str(tmp_path), "--to", "nowhere").exit_code == 2
