"""`baton hl7v2 replay`, `park`, `release`, `discard`: decisions about messages, by number or by a search."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from mappings.engine import MappingErrors, MapSet, load
from server.auth.context import AuthContext, record
from server.command_context import command_context, command_settings, plain_words
from server.fhir.dates import microseconds
from server.hl7v2.current_maps import overlays_of
from server.hl7v2.preview import preview
from server.hl7v2.preview_text import Summary, lines
from server.hl7v2.refusal import Refused
from server.hl7v2.sources import Sources
from server.row_numbers import LARGEST
from server.storage.hl7v2_messages import STATES, Hl7v2Messages, LoggedMessage, MessageQuery

_PAGE = 500

Command = Callable[..., None]
Act = Callable[[Hl7v2Messages, list[int], datetime], int]
_FILTERS = (
    click.option("--control-id", default="", help="MSH-10."),
    click.option("--mrn", default="", help="The number that tells the patient (PID-3)."),
    click.option("--visit", default="", help="The visit number (PV1-19)."),
    click.option("--type", "type_", default="", metavar="ADT[^A08]", help="MSH-9: type, or type and trigger."),
    click.option("--state", type=click.Choice(STATES), help="Only these."),
    click.option("--source", default="", metavar="NAME", help="Only of this sender."),
)
_MEANT = (
    click.argument("numbers", nargs=-1, type=click.IntRange(1, LARGEST)),
    *_FILTERS,
    click.option("--dry-run", is_flag=True, help="Only say how many messages are meant."),
    click.option("--yes", is_flag=True, help="Do not ask."),
)


def filtered(command: Command) -> Command:
    """The options of a search of messages."""
    return _with(_FILTERS, command)


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def found(messages: Hl7v2Messages, filters: dict[str, Any]) -> Iterator[LoggedMessage]:
    """All messages that a search finds, page by page, the latest first."""
    given = {name: value for name, value in filters.items() if value}
    type_, _, trigger = given.pop("type_", "").partition("^")
    before = None
    while True:
        query = MessageQuery(**given, type=type_, trigger=trigger, before=before, count=_PAGE)
        page = messages.search(query)
        yield from page.messages
        if page.next_before is None:
            return
        before = page.next_before


def note(auth: AuthContext, event: str, detail: str) -> None:
    """Keep in the audit trail what a command looks at or decides."""
    record(auth, event, 200, principal="Client/baton-cli", client_id="baton-cli", detail=detail)


def _meant(command: Command) -> Command:
    return _with(_MEANT, command)


@click.command("replay")
@_meant
@click.option("--show", is_flag=True, help="First show what each of them would change.")
@click.option("--maps", "version", default="", metavar="VERSION", help="Only if these maps are in force.")
def replay(
    numbers: tuple[int, ...], dry_run: bool, yes: bool, show: bool, version: str, **filters: Any
) -> None:
    """Map and apply messages again, each in its place; what is newer than they are stays as it is.

    \b
    Examples:
      baton hl7v2 replay 17 --show
      baton hl7v2 replay --state failed --source adt-north --show --dry-run
    """
    with plain_words():
        auth = command_context()
        ids = _ids(auth, numbers, filters)
        if version or show:
            maps = _maps(version)
        if show:
            _show(auth, ids, maps)
        asks = (show or not numbers) and not yes
        _decide("replay", auth, ids, lambda rows, part, now: rows.replay(part, now), dry_run, asks)


def _decision(name: str, words: str, act: Act) -> click.Command:
    """A command that decides about messages and has no options of its own."""

    @click.command(name, help=words)
    @_meant
    def command(numbers: tuple[int, ...], dry_run: bool, yes: bool, **filters: Any) -> None:
        with plain_words():
            auth = command_context()
            _decide(name, auth, _ids(auth, numbers, filters), act, dry_run, not numbers and not yes)

    return command


DECISIONS: tuple[click.Command, ...] = (
    replay,
    _decision(
        "park",
        "Hold messages, and with them all later ones of their patients, until they are released or discarded.",
        lambda rows, part, now: rows.park(part, now),
    ),
    _decision(
        "release", "Let parked messages go on in their place.", lambda rows, part, now: rows.release(part, now)
    ),
    _decision(
        "discard",
        "End messages that wait or are parked without applying them; later ones of their patients go on.",
        lambda rows, part, now: rows.discard(part, now, str(Refused("discarded"))),
    ),
)


def _ids(auth: AuthContext, numbers: tuple[int, ...], filters: dict[str, Any]) -> list[int]:
    if bool(numbers) == any(filters.values()):
        raise click.UsageError("name messages by their numbers, or by a search, not both")
    return sorted(numbers or (message.id for message in found(auth.store.hl7v2_messages, filters)))


def _decide(name: str, auth: AuthContext, ids: list[int], act: Act, dry_run: bool, asks: bool) -> None:
    """Do it to the messages, some hundred in a transaction, and say to how many it was done."""
    if dry_run:
        click.echo(f"{len(ids)} messages are meant")
        return
    if asks:
        click.confirm(f"{name} {len(ids)} messages?", abort=True)
    changed = 0
    with click.progressbar(length=len(ids), label=name, file=sys.stderr) as bar:
        for start in range(0, len(ids), _PAGE):
            part = ids[start : start + _PAGE]
            with auth.store.writing():
                changed += act(auth.store.hl7v2_messages, part, auth.clock())
                note(auth, f"hl7v2-{name}", f"messages={len(part)} from={part[0]} to={part[-1]}")
            bar.update(len(part))
    left = f", {len(ids) - changed} were not in a state for it" if changed < len(ids) else ""
    click.echo(f"{changed} of {len(ids)} messages{left}")


def _maps(version: str) -> MapSet:
    """The maps that messages would be mapped by now. version: that they must have, "" for any.

    Raises: click.ClickException.
    """
    overlays = overlays_of(command_settings().home)
    try:
        maps = load(overlays if overlays.is_dir() else None)
    except MappingErrors as error:
        words = "The overlays of this deployment have mistakes, so the last good maps stay in force:"
        raise click.ClickException(f"{words}\n{error}") from None
    if version and version != maps.version:
        raise click.ClickException(f"the maps in force are {maps.version}, not {version}")
    return maps


def _show(auth: AuthContext, ids: list[int], maps: MapSet) -> None:
    """Print what would become of messages, each by itself, and a summary."""
    sources = Sources(auth.store.hl7v2_sources, lambda: microseconds(auth.clock()))
    summary = Summary()
    for id in ids:
        message = auth.store.hl7v2_messages.get(id)
        if message is None or message.duplicate_of is not None:
            continue
        note(auth, "hl7v2-read", f"message={id}")
        shown = preview(auth.store, sources, maps, message)
        summary.count(shown)
        for line in lines(shown):
            click.echo(line)
    click.echo(str(summary))
