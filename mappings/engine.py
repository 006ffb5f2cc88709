"""Maps that are loaded, and what they make of a message: `load` once, `MapSet.run` for each message."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

from mappings import tables as code_tables
from mappings.compiler.library import read
from mappings.compiler.problems import MappingErrors, Problem
from mappings.compiler.program import Map, Program, compile_library, version_of
from mappings.compiler.unused import stray_files, unread_files, unused
from mappings.compiler.v2_fields import is_set_id
from mappings.event_time import event_time
from mappings.findings import FINDINGS
from mappings.hl7v2.message import Message
from mappings.hl7v2.structure import group
from mappings.result import Finding, Mapped, Source
from mappings.running.conditions import settings
from mappings.running.frame import Frame
from mappings.running.memory import Memory
from mappings.running.run import Refused, Run
from mappings.scope import Scope

__all__ = ["MapSet", "MappingErrors", "Problem", "check", "load"]

BASE = Path(__file__).parent / "maps"
# Fields that choosing a map, reading, storing and acknowledging a message are about; no map needs to read them.
_HEADER = {"MSH": frozenset({1, 2, 5, 6, 7, 9, 10, 11, 12, 15, 16, 18, 20}), "EVN": frozenset({1})}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MapSet:
    """The base maps and those of each overlay. version: hash of all files, 16 hexadecimal digits. memory: what
    values became before; it goes with the maps."""

    version: str
    base: Program
    overlays: Mapping[str, Program]
    warnings: tuple[Problem, ...] = ()
    memory: Memory = field(default_factory=Memory, repr=False, compare=False)

    def program(self, overlay: str) -> Program | None:
        """The maps of an overlay, the base for ""; None where nothing has that name."""
        return self.overlays.get(overlay) if overlay else self.base

    def map_for(self, message: Message, source: Source) -> Map | None:
        """The map that a message of a source has."""
        program = self.program(source.overlay)
        return program.map_for(*_type(message)) if program else None

    def run(self, message: Message, source: Source, *, received: datetime) -> Mapped:
        """What the maps make of a message that came at `received` (aware). Never raises for content."""
        scope = Scope(source, message)
        moment = event_time(message, source, received)
        refused = None
        try:
            program = self.program(source.overlay)
            if program is None:
                raise Refused(Finding("overlay-unknown", "", FINDINGS["overlay-unknown"]))
            scope.tables = program.tables
            code, trigger = _type(message)
            found = program.map_for(code, trigger)
            if found is None:
                raise Refused(Finding("no-map", "MSH[1]-9[1].1.1", FINDINGS["no-map"]))
            clock = {"received": _instant(received), "moment": _instant(_at(moment))}
            values = settings(source.production, source.medication_list, source.switches)
            run = Run(scope, trigger, clock, values, message.manner, message.names, self.memory.of(source))
            root = group(message)
            scope.account.findings.extend((*message.warnings, *root.warnings))
            found.rule.run(Frame(run, root), None)
            return self._mapped(message, run, moment)
        except Refused as refusal:
            refused = refusal.finding
        except Exception as error:
            # A defect of a map or function must fail its message and nothing else; what the exception says may
            # be
            # patient data, so only its type is told.
            _logger.error("a map failed with %s in %s", type(error).__name__, _place(error))
            refused = Finding("map-failed", "", f"{FINDINGS['map-failed']}: {type(error).__name__}")
        return Mapped(self.version, moment, findings=tuple(scope.account.findings), refused=refused)

    def _mapped(self, message: Message, run: Run, moment: int) -> Mapped:
        intents = [*(draft.intent() for draft in run.drafts.values()), *run.scope.account.intents.values()]
        for draft in run.drafts.values():
            draft.let_go()
        return Mapped(
            self.version,
            moment,
            tuple(intents),
            tuple(run.merges),
            tuple(run.steps),
            tuple(dict.fromkeys(run.scope.account.findings)),
            tuple(_unread(message, run)),
        )


def _unread(message: Message, run: Run) -> list[str]:
    found: list[str] = []
    read = run.read
    for segment in message.segments:
        for number, repetitions in run.fields(segment).items():
            if not _is_structure(segment.name, number):
                for repetition in repetitions:
                    for leaf in repetition.leaves.values():
                        if leaf.place not in read:
                            found.append(leaf.place)
    return found


@lru_cache(4096)
def _is_structure(segment: str, field: int) -> bool:
    """Whether a field says how the message is built, sent and numbered, and nothing of what it tells."""
    if segment in _HEADER:
        return field in _HEADER[segment]
    return is_set_id(segment, field)


def _type(message: Message) -> tuple[str, str]:
    """MSH-9.1 and MSH-9.2; the trigger of EVN-1 where the header has none."""
    trigger = message.get("MSH-9.2").text.strip() or message.get("EVN-1").text.strip()
    return message.get("MSH-9.1").text.strip(), trigger


def _at(moment: int) -> datetime:
    return datetime.fromtimestamp(moment // 1_000_000, UTC)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


@cache
def _shipped() -> tuple[Program, tuple[Problem, ...], Mapping[str, str]]:
    """The base, what is to be said of it, and its files by name. Compiled once: a release does not change."""
    library = read(BASE)
    tables = code_tables.tables()
    program, problems = compile_library(library, tables)
    rows = {f"tables/{name}": repr(sorted(table.rows.items())) for name, table in tables.items()}
    return program, problems, {**library.texts, **rows}


def check(overlays: Path | None = None) -> tuple[MapSet, tuple[Problem, ...]]:
    """The maps that ship, with a folder of overlays, and all that is wrong or doubtful in them.

    overlays: one folder for each overlay, named as `Source.overlay` names it; in it maps, pieces and changes
    (`*.yaml`) and `tables/*.csv`. A set with a mistake in it is not to be run. Raises OSError for a folder that
    cannot be read.
    """
    base, problems, shipped = _shipped()
    files = dict(shipped)
    found = [*problems, *(stray_files(overlays) if overlays else ())]
    others: dict[str, Program] = {}
    for folder in sorted(path for path in overlays.iterdir() if path.is_dir()) if overlays else []:
        own = read(folder, f"{folder.name}/")
        files |= own.texts
        found += unread_files(folder)
        try:
            own_tables = code_tables.load(folder / "tables", f"{folder.name}/tables/")
            tables = code_tables.overlaid(base.tables, own_tables)
        except code_tables.TableError as error:
            found.append(Problem(f"{folder.name}/tables/{error.file}", error.line, 1, error.text))
            continue
        files |= {
            f"{folder.name}/tables/{path.name}": path.read_text("utf-8-sig")
            for path in sorted((folder / "tables").glob("*.csv"))
        }
        others[folder.name], more = compile_library(own.over(base.library), tables)
        found += [problem for problem in more if problem not in problems]
        found += unused(own, own_tables, others[folder.name], base.tables)
    warnings = tuple(problem for problem in found if problem.is_warning)
    return MapSet(version_of(files), base, others, warnings), tuple(sorted(set(found)))


def load(overlays: Path | None = None) -> MapSet:
    """The maps that ship, with the overlays of a folder.

    Raises MappingErrors with every mistake that is in them; OSError for a folder that cannot be read.
    """
    maps, problems = check(overlays)
    mistakes = [problem for problem in problems if not problem.is_warning]
    if mistakes:
        raise MappingErrors(mistakes)
    return maps
