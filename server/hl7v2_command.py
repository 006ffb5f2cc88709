"""`baton hl7v2`: the log of received HL7 v2 messages, and what is decided about some of them."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from server.auth.context import AuthContext
from server.command_context import command_context, plain_words
from server.hl7v2.trace import read_trace
from server.hl7v2_decision_commands import DECISIONS, filtered, found, note
from server.hl7v2_send_command import send
from server.hl7v2_source_command import sources
from server.row_numbers import LARGEST
from server.storage.hl7v2_messages import LoggedMessage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POLL_SECONDS = 0.2


@click.group()
def hl7v2() -> None:
    """Look at received HL7 v2 messages, apply some again, hold or release them; and who sends them.

    Every look at content and every decision is audited.
    """


for command in (sources, send, *DECISIONS):
    hl7v2.add_command(command)


@hl7v2.command("list")
@filtered
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(limit: int, as_json: bool, **filters: Any) -> None:
    """List messages, the latest first.

    \b
    Examples:
      baton hl7v2 list --state failed
      baton hl7v2 list --mrn 12345 --type ADT^A08 --limit 10
    """
    with plain_words():
        auth = _audited("hl7v2-search", " ".join(sorted(name for name, value in filters.items() if value)))
        shown = 0
        for message in found(auth.store.hl7v2_messages, filters):
            click.echo(json.dumps(_as_json(message)) if as_json else _line(message))
            shown += 1
            if shown == limit:
                break
    if not shown and not as_json:
        click.echo("no message is so", err=True)


@hl7v2.command("status")
@click.option("--wait", "seconds", type=click.IntRange(0), default=0, help="So long until nothing waits.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def status(seconds: int, as_json: bool) -> None:
    """What waits, was given up or is parked, by sender, and since when the oldest waits.

    With --wait exit 2 if something still waits then.
    """
    with plain_words():
        auth = command_context()
        rows = auth.store.hl7v2_messages.states()
        deadline = time.monotonic() + seconds
        while any(row.waiting for row in rows) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            rows = auth.store.hl7v2_messages.states()
        senders = {row.name: row for row in auth.store.hl7v2_sources.all()}
    told = [
        {
            "source": row.source,
            "waiting": row.waiting,
            "failed": row.failed,
            "parked": row.parked,
            "oldest": _moment(row.oldest),
            "last_message": _moment(senders[row.source].last_message) if row.source in senders else None,
        }
        for row in rows
    ]
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for each in told:
            oldest = f"  oldest {each['oldest']}" if each["oldest"] else ""
            counts = f"waiting {each['waiting']}  failed {each['failed']}  parked {each['parked']}"
            click.echo(f"{each['source']:<24} {counts}{oldest}")
        if not told:
            click.echo("everything that was received is applied")
    if seconds and any(row.waiting for row in rows):
        raise SystemExit(2)


@hl7v2.command("show")
@click.argument("number", type=click.IntRange(1, LARGEST))
@click.option("--raw", is_flag=True, help="Only the message as it came.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, with the trace.")
def show(number: int, raw: bool, as_json: bool) -> None:
    """Show a message: its state, what was answered, what became of it, and what its map could not do."""
    with plain_words():
        auth = _audited("hl7v2-read", f"message={number}")
        messages = auth.store.hl7v2_messages
        message = messages.get(number)
        if message is None:
            raise click.ClickException("there is no message of that number")
        if raw:
            sys.stdout.buffer.write(messages.raw(number))
            return
        text = auth.store.hl7v2_traces.get(number, message.mapping_version)
        trace = read_trace(text) if text is not None else {}
    if as_json:
        click.echo(json.dumps(_as_json(message) | {"trace": trace}, indent=2, default=str))
        return
    for name, value in _as_json(message).items():
        if value not in ("", None, [], False):
            click.echo(f"{name:<16} {value if not isinstance(value, list) else ' '.join(value)}")
    for outcome in trace.get("outcomes", ()):
        click.echo(f"{'intent':<16} {outcome['intent']}: {outcome['outcome']} {outcome['reference']}")
    for finding in trace.get("findings", ()):
        click.echo(f"{'finding':<16} {finding['code']} {finding['position']} {finding['text']}")
    if unread := trace.get("unread"):
        click.echo(f"{'unread':<16} {' '.join(unread)}")


def _audited(event: str, detail: str) -> AuthContext:
    """The parts of the server, once it is kept that somebody looks."""
    auth = command_context()
    note(auth, event, detail)
    return auth


def _moment(microseconds: int | None) -> str | None:
    if not microseconds:
        return None
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _as_json(message: LoggedMessage) -> dict[str, Any]:
    told = asdict(message)
    for name in ("received", "event_at", "ended"):
        told[name] = _moment(told[name])
    return told | {"written": list(message.written)}


def _line(message: LoggedMessage) -> str:
    after = " (after an error)" if message.after_error else ""
    kind = f"{message.type}^{message.trigger}"
    return (
        f"{message.id:>9}  {_moment(message.received)}  {message.state:<9} {kind:<8} {message.source:<20}"
        f" {message.control_id:<20} {message.error}{after}"
    ).rstrip()
