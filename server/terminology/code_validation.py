"""Whether a code is valid: known to its code system, a member of a value set, and called what it is.

A code that a fragment of a code system lacks may be right: that is a warning. One that a complete system lacks
is wrong. Nothing said here repeats what was asked.
Sources: hl7.org/fhir/R4/codesystem-operation-validate-code.html, valueset-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from server.terminology.composition import Composer, Composition
from server.terminology.concepts import CodeSystem, Concept, Designation

Severity = Literal["error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class Coded:
    """A code as somebody wrote it; "" for what was left out."""

    system: str = ""
    code: str = ""
    version: str = ""
    display: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """code: of the value set issue-type. element: of a Coding, that it is about."""

    severity: Severity
    code: str
    text: str
    element: str = "code"
    place: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """coded: as it should be written. display: the preferred one, "" where none is known."""

    coded: Coded
    findings: tuple[Finding, ...] = ()
    display: str = ""
    inactive: bool = False

    @property
    def is_valid(self) -> bool:
        return all(finding.severity != "error" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Judging:
    """What codes are judged by. composed: the value set they should be in, None for their code system alone.
    abstract: whether a concept that only groups others will do. language: of displays, "" for any."""

    composer: Composer
    composed: Composition | None = None
    abstract: bool = True
    language: str = ""

    def one(self, asked: Coded) -> Judgement:
        """The judgement on one code. Raises: NotExpandable, TooCostly."""
        return _judge(self, asked)

    def inferred(self, asked: Coded) -> Judgement:
        """The judgement on a code without its system, which the value set has to tell."""
        assert self.composed is not None
        known = [system for system in sorted(self.composed.systems()) if self._knows(system, asked.code)]
        if len(known) == 1:
            return self.one(replace(asked, system=known[0]))
        text = "several code systems of the value set have the code" if known else _NOT_IN
        return Judgement(asked, (Finding("error", "code-invalid", text),))

    def any_of(self, asked: Iterable[Coded]) -> Judgement:
        """The judgement on a concept that is coded several times: one valid code will do."""
        judged = [self.one(coded) for coded in asked]
        if not judged:
            return Judgement(Coded(), (Finding("error", "invalid", "there is no code"),))
        best = next((number for number, found in enumerate(judged) if found.is_valid), None)
        findings = tuple(
            replace(
                finding,
                place=number,
                severity="warning" if best is not None and finding.severity == "error" else finding.severity,
            )
            for number, found in enumerate(judged)
            for finding in found.findings
        )
        return replace(judged[best or 0], findings=findings)

    def _knows(self, system: str, code: str) -> bool:
        assert self.composed is not None
        if not self.composed.has(system, code):
            return False
        source = self.composer.system(system)
        return self.composed.listed(system, code) is not None or (
            source is not None and source.concept(code) is not None
        )


_NOT_IN = "the code is not in the value set"
_SYSTEM_UNKNOWN = "the code system is not known to this server"


def _judge(by: Judging, asked: Coded) -> Judgement:
    if not asked.system:
        return Judgement(
            asked, (Finding("error", "invalid", "a code without its system cannot be judged", "system"),)
        )
    source = by.composer.system(asked.system, asked.version)
    if source is None and by.composer.system(asked.system) is not None:
        text = "this version of the code system is not known to this server"
        return Judgement(asked, (Finding("error", "not-found", text, "version"),))
    findings: list[Finding] = []
    concept = None
    if source is None:
        severity: Severity = "error" if by.composed is None else "warning"
        findings.append(Finding(severity, "not-found", _SYSTEM_UNKNOWN, "system"))
    else:
        asked = replace(asked, version=source.version)
        concept = source.concept(asked.code)
        if concept is None and source.case_sensitive is not True and (code := source.in_other_case(asked.code)):
            findings.append(Finding("information", "code-invalid", "the code is written in another case"))
            asked, concept = replace(asked, code=code), source.concept(code)
        if concept is None:
            findings.append(_absent(source))
    if by.composed is not None and not by.composed.has(asked.system, asked.code):
        findings.append(Finding("error", "code-invalid", _NOT_IN))
    if concept is not None:
        findings += _of_concept(concept, by)
    listed = None if by.composed is None else by.composed.listed(asked.system, asked.code)
    displays = Displays(concept, listed.display if listed else "", listed.designations if listed else ())
    if asked.display and not displays.have(asked.display):
        findings.append(Finding("error", "invalid", "the display is not one of the code's", "display"))
    return Judgement(
        asked, tuple(findings), displays.preferred(by.language), concept is not None and concept.inactive
    )


def _absent(source: CodeSystem) -> Finding:
    if source.is_complete:
        return Finding("error", "code-invalid", "the code system has no such code")
    return Finding(
        "warning",
        "code-invalid",
        "the code is not among those known to this server, which are not all there are: it may be valid",
    )


def _of_concept(concept: Concept, by: Judging) -> Iterator[Finding]:
    if concept.abstract and not by.abstract:
        yield Finding("error", "business-rule", "the concept only groups others and is not to be chosen")
    if concept.inactive:
        yield Finding("warning", "business-rule", "the concept is no longer in use")


@dataclass(frozen=True, slots=True)
class Displays:
    """The terms of a code. listed, designations: what a value set adds."""

    concept: Concept | None
    listed: str = ""
    designations: tuple[Designation, ...] = ()

    def all(self) -> tuple[Designation, ...]:
        """The designations of value set and code system."""
        return (*self.designations, *(self.concept.designations if self.concept else ()))

    def have(self, written: str) -> bool:
        """Whether a display is one of the terms, but for case and spaces; true where none is known."""
        terms = [self.listed, self.concept.display if self.concept else "", *(d.value for d in self.all())]
        known = {_plain(term) for term in terms if term}
        return not known or _plain(written) in known

    def preferred(self, language: str = "") -> str:
        """The display to show, in a language where there is one."""
        for designation in self.all() if language else ():
            if designation.language and _speaks(designation.language, language):
                return designation.value
        return self.listed or (self.concept.display if self.concept else "")


def _plain(term: str) -> str:
    return " ".join(term.casefold().split())


def _speaks(found: str, wanted: str) -> bool:
    """Whether a term's language will do: de-AT for de, and de for de-AT."""
    one, two = found.casefold().split("-"), wanted.casefold().split("-")
    shorter = min(len(one), len(two))
    return one[:shorter] == two[:shorter]
