"""`baton hl7v2 sources`: who sends HL7 v2 messages here, and how they are heard."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from server.auth.context import AuthContext, record
from server.command_context import command_context, command_settings, plain_words
from server.fhir.dates import microseconds
from server.hl7v2.current_maps import overlays_of
from server.hl7v2.sources import CONFIRMED, DISABLED, NAME, NEW, SourceError, read_settings, write_settings
from server.storage.hl7v2_sources import SourceRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.group()
def sources() -> None:
    """Senders of HL7 v2 messages: list, confirm, disable, settings.

    A sender that is not known yet is taken in state `new` with its first message, and mapped by the shipped
    maps. A running server sees a change within seconds.
    """


@sources.command("list")
@click.option("--state", type=click.Choice((NEW, CONFIRMED, DISABLED)), help="Only these.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_(state: str | None, as_json: bool) -> None:
    """List senders by name."""
    with plain_words():
        rows = [row for row in command_context().store.hl7v2_sources.all() if state in (None, row.state)]
    if as_json:
        click.echo(json.dumps([_description(row) for row in rows], indent=2))
        return
    for row in rows:
        sender = f"{row.sending_application}|{row.sending_facility}"
        click.echo(f"{row.name}\t{row.state}\t{sender}\t{_moment(row.last_message) or 'nothing sent yet'}")


@sources.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show a sender with its settings, as JSON."""
    with plain_words():
        click.echo(json.dumps(_description(_source(command_context(), name)), indent=2))


@sources.command("add")
@click.argument("name")
@click.option("--application", default="", help="MSH-3 (first component) of its messages.")
@click.option("--facility", default="", help="MSH-4 (first component) of its messages.")
def add(name: str, application: str, facility: str) -> None:
    """Make a sender known before its first message, so that its settings hold from then on."""
    if not NAME.fullmatch(name):
        raise click.UsageError("NAME is of small letters, digits, dots and dashes")
    if not (application or facility):
        raise click.UsageError("say by which --application or --facility its messages are known")
    with plain_words():
        auth = command_context()
        for row in auth.store.hl7v2_sources.all():
            if row.name == name or (row.sending_application, row.sending_facility) == (application, facility):
                raise click.ClickException(f"there is a sender {row.name} already")
        now = microseconds(auth.clock())
        row = SourceRow(name, application, facility, CONFIRMED, "{}", now)
        _put(auth, row, f"hl7v2-source-{CONFIRMED}")
    click.echo(f"{name} is {CONFIRMED}")


@sources.command("confirm")
@click.argument("name")
def confirm(name: str) -> None:
    """NAME is who it says it is; its messages are mapped as before."""
    _change(name, CONFIRMED)


@sources.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Take no more messages of NAME."""
    _change(name, DISABLED)


@sources.command("set")
@click.argument("name")
@click.argument("settings", nargs=-1, required=True, metavar="SETTING=VALUE...")
def set_(name: str, settings: tuple[str, ...]) -> None:
    """Change settings of NAME; VALUE is JSON, or a text as it is; an empty one takes the setting back.

    \b
    Examples:
      baton hl7v2 sources set lab on_error=park time_zone=America/Chicago
      baton hl7v2 sources set adt authorities='["HOSP", "CLINIC"]' production=false
    """
    with plain_words(SourceError):
        auth = command_context()
        row = _source(auth, name)
        given = json.loads(row.settings or "{}")
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise click.UsageError("SETTING=VALUE")
            if text:
                given[key] = _value(text)
            else:
                given.pop(key, None)
        checked = write_settings(read_settings(json.dumps(given)))
        _put(auth, replace(row, settings=checked), "hl7v2-source-settings")
    click.echo(f"{name}: {checked}")
    overlay = read_settings(checked).overlay
    folder = overlays_of(command_settings().home)
    if overlay and not (folder / overlay).is_dir():
        click.echo(
            f"there is no overlay {overlay} yet: its messages fail until {folder / overlay} is there", err=True
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _change(name: str, state: str) -> None:
    with plain_words():
        auth = command_context()
        _put(auth, replace(_source(auth, name), state=state), f"hl7v2-source-{state}")
    click.echo(f"{name} is {state}")


def _put(auth: AuthContext, row: SourceRow, event: str) -> None:
    with auth.store.writing():
        auth.store.hl7v2_sources.put(row)
        record(
            auth, event, 200, principal="Client/baton-cli", client_id="baton-cli", detail=f"source={row.name}"
        )


def _source(auth: AuthContext, name: str) -> SourceRow:
    row = auth.store.hl7v2_sources.get(name)
    if row is None:
        raise click.ClickException(f"there is no sender {name}; `baton hl7v2 sources list` tells them")
    return row


def _moment(microseconds: int) -> str:
    if not microseconds:
        return ""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _description(row: SourceRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "state": row.state,
        "sending_application": row.sending_application,
        "sending_facility": row.sending_facility,
        "settings": json.loads(row.settings or "{}"),
        "created": _moment(row.created),
        "last_message": _moment(row.last_message),
    }
