"""`baton map`: for those who write maps of HL7 v2 messages."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from mappings.authoring import coverage as coverage_of
from mappings.authoring import coverage_views, documents, explain_views, golden, record_test
from mappings.authoring.explain import explain as explained
from mappings.authoring.feed import Feed, Folder, Logged, MessageLog, NotInLog, Received, message_log
from mappings.authoring.source_file import SourceError, read_source
from mappings.datatypes import FUNCTIONS
from mappings.engine import MapSet, Problem, check
from mappings.hl7v2.message import Hl7Error, Message, parse
from mappings.result import Source

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OVERLAYS = click.option("--overlays", type=_FOLDER, help="Folder with a folder for each overlay.")
_SOURCE = click.option("--source", "source_path", type=_FILE, help="TOML file that describes the source.")
_OVERLAY = click.option("--overlay", default="", metavar="NAME", help="As if the source had this overlay.")


class _FileOrNumber(click.ParamType):
    """A message: a file, or else its number in the message log."""

    name = "message"

    def convert(
        self, value: str | Path | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | int:
        if isinstance(value, str):
            path = Path(value)
            if path.is_file():
                return path
            if not value.isascii() or not value.isdecimal() or len(value) > 18:
                self.fail(f"{value!r} is neither a file nor the number of a message in the log", param, ctx)
            return int(value)
        return value


_MESSAGE = click.argument("given", metavar="FILE|NUMBER", type=_FileOrNumber())


@click.group("map")
def map_group() -> None:
    """Maps of HL7 v2 messages to FHIR: check, try, explain and test them."""


@map_group.command()
@_OVERLAYS
@click.option("--json", "as_json", is_flag=True)
def lint(overlays: Path | None, as_json: bool) -> None:
    """Say all that is wrong or doubtful in the maps. Exit 1 for a mistake."""
    _, problems = check(overlays)
    if as_json:
        click.echo(json.dumps([asdict(problem) for problem in problems], indent=2))
    else:
        for problem in problems:
            click.echo(str(problem))
    mistakes = [problem for problem in problems if not problem.is_warning]
    click.echo(f"{len(mistakes)} mistakes, {len(problems) - len(mistakes)} doubts", err=True)
    if mistakes:
        raise SystemExit(1)


@map_group.command()
@_MESSAGE
@_SOURCE
@_OVERLAYS
@_OVERLAY
def run(given: Path | int, source_path: Path | None, overlays: Path | None, overlay: str) -> None:
    """Print what a message becomes. Exit 2 if it is refused."""
    received, maps = _given(given, source_path, overlays, overlay)
    mapped = maps.run(_message(received, given), received.source, received=received.at)
    click.echo(golden.as_golden(mapped), nl=False)
    if mapped.refused:
        raise SystemExit(2)


@map_group.command()
@_MESSAGE
@_SOURCE
@_OVERLAYS
@_OVERLAY
@click.option("--json", "as_json", is_flag=True)
@click.option(
    "--html", "html_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a page there."
)
def explain(
    given: Path | int,
    source_path: Path | None,
    overlays: Path | None,
    overlay: str,
    as_json: bool,
    html_path: Path | None,
) -> None:
    """Account for every element of the result and every filled component of the message."""
    received, maps = _given(given, source_path, overlays, overlay)
    read = _message(received, given)
    found = explained(read, maps.run(read, received.source, received=received.at))
    if received.version and received.version != maps.version:
        click.echo(f"it was mapped by maps {received.version}; this is what {maps.version} say", err=True)
    if html_path is not None:
        html_path.write_text(explain_views.as_html(read, found), "utf-8")
        click.echo(str(html_path))
    elif as_json:
        click.echo(json.dumps(explain_views.as_json(found), indent=2, ensure_ascii=False, default=str))
    else:
        for line in explain_views.as_text(found):
            click.echo(line)


@map_group.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@_OVERLAYS
@click.option("--update", is_flag=True, help="Show what differs and, after a question, write it.")
@click.option("--yes", is_flag=True, help="With --update: do not ask.")
def test(paths: tuple[Path, ...], overlays: Path | None, update: bool, yes: bool) -> None:
    """Run golden tests: files NAME.hl7, or folders of them. Exit 1 if one fails."""
    maps = _maps(overlays)
    validator = _validator()
    if validator is None:
        click.echo("no validator is installed: whether results are valid R4 is not looked at", err=True)
    failed = 0
    tests = _tests(paths)
    for one in tests:
        try:
            mapped = one.run(maps)
            faults = list(golden.faults(one, mapped, validator))
        except golden.BadTest as error:
            faults, difference = [str(error)], ""
        else:
            difference = golden.difference(one, mapped)
            if difference and update:
                click.echo(difference)
                if yes or click.confirm(f"write {one.golden_path}?"):
                    one.golden_path.write_text(golden.as_golden(mapped), "utf-8")
                    difference = ""
        failed += bool(faults or difference)
        for fault in faults:
            click.echo(f"{one.path}: {fault}")
        if difference:
            click.echo(f"{one.path}: differs\n{difference}")
    click.echo(f"{len(tests)} tests, {failed} failed", err=True)
    if failed:
        raise SystemExit(1)


@map_group.command()
@_MESSAGE
@click.argument("test_path", metavar="TEST", type=click.Path(dir_okay=False, path_type=Path))
@_SOURCE
@_OVERLAYS
@_OVERLAY
def record(
    given: Path | int, test_path: Path, source_path: Path | None, overlays: Path | None, overlay: str
) -> None:
    """Make a de-identified golden test of a message: TEST.hl7, TEST.toml, TEST.json."""
    received, maps = _given(given, source_path, overlays, overlay)
    try:
        written = record_test.record(_message(received, given), test_path, received.source, maps)
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename} is there already") from error
    for path in written:
        click.echo(str(path))
    click.echo("Read it before you share it: free text is masked, codes and places are kept.", err=True)


@map_group.command()
@click.argument("folder", type=_FOLDER, required=False)
@click.option("--sender", default="", metavar="NAME", help="Of the log: only messages of this source.")
@click.option("--last", "most", type=click.IntRange(1), default=1000, show_default=True, help="Of the log.")
@_SOURCE
@_OVERLAYS
@_OVERLAY
@click.option("--json", "as_json", is_flag=True)
def coverage(
    folder: Path | None,
    sender: str,
    most: int,
    source_path: Path | None,
    overlays: Path | None,
    overlay: str,
    as_json: bool,
) -> None:
    """Say how much of the messages of a folder, or without one of the message log, reaches FHIR; what never
    does, and which codes no table has.
    """
    feed: Feed
    if folder is not None:
        feed = Folder(folder, _with_overlay(_source(source_path), overlay))
    else:
        log = _log()
        feed = Logged(log, sender, most, partial(_logged_source, source_path, overlay))
        overlays = overlays or log.overlays
    try:
        found = coverage_of.measure(feed, _maps(overlays))
    except NotInLog as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(coverage_views.as_json(found), indent=2, ensure_ascii=False))
    else:
        for line in coverage_views.as_text(found):
            click.echo(line)


@map_group.command()
@_OVERLAYS
@click.option("--overlay", default="", help="Name of the overlay; without it the base.")
@click.option("--map", "name", default="", help="One map, as ADT_A01.")
def docs(overlays: Path | None, overlay: str, name: str) -> None:
    """Print the maps as tables for the sending site to sign off."""
    program = _maps(overlays).program(overlay)
    if program is None or (name and name not in program.maps):
        raise click.ClickException(f"no {'map ' + name if program else 'overlay ' + overlay}")
    for line in documents.markdown(program, name):
        click.echo(line)


@map_group.command()
def functions() -> None:
    """List what `using` may name: function, what it gives, the datatypes that it reads."""
    for function in FUNCTIONS.values():
        takes = " ".join(sorted(function.takes))
        table = f"  table {function.table}" if function.table else ""
        click.echo(f"{function.name:20} {function.result:28} {takes}{table}")


def _maps(overlays: Path | None) -> MapSet:
    maps, problems = check(overlays)
    mistakes: list[Problem] = [problem for problem in problems if not problem.is_warning]
    if mistakes:
        raise click.ClickException("\n".join(map(str, mistakes)))
    return maps


def _given(
    given: Path | int, source_path: Path | None, overlays: Path | None, overlay: str
) -> tuple[Received, MapSet]:
    """A message with its source, and the maps that it is to be read by: of the log, those of the deployment."""
    if isinstance(given, Path):
        source = _with_overlay(_source(source_path), overlay)
        return Received(given.read_bytes(), datetime.now(UTC), source), _maps(overlays)
    log = _log()
    try:
        received = log.message(given)
    except NotInLog as error:
        raise click.ClickException(str(error)) from error
    source = _logged_source(source_path, overlay, received.source)
    return replace(received, source=source), _maps(overlays or log.overlays)


def _logged_source(source_path: Path | None, overlay: str, source: Source) -> Source:
    """What a message of the log is read by: the settings of its sender, but for what the command names."""
    return _with_overlay(_source(source_path) if source_path is not None else source, overlay)


def _with_overlay(source: Source, overlay: str) -> Source:
    return replace(source, overlay=overlay) if overlay else source


def _log() -> MessageLog:
    log = message_log()
    if log is None:
        raise click.ClickException("there is no message log where no server is installed: name files")
    return log


def _message(received: Received, given: Path | int) -> Message:
    try:
        return parse(received.raw)
    except Hl7Error as error:
        raise click.ClickException(f"{given}: {error}") from error


def _source(path: Path | None) -> Source:
    try:
        return read_source(path)
    except SourceError as error:
        raise click.ClickException(str(error)) from error


def _tests(paths: tuple[Path, ...]) -> list[golden.GoldenTest]:
    try:
        return golden.find(paths)
    except golden.BadTest as error:
        raise click.ClickException(str(error)) from error


def _validator() -> golden.Validator | None:
    """What another package offers to judge resources by (entry point `baton.validators`)."""
    for entry in entry_points(group="baton.validators"):
        validate: Any = entry.load()
        return lambda resource: [str(fault) for fault in validate(resource)]
    return None
