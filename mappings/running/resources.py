"""The rule that makes an intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mappings.hl7v2.message import Value
from mappings.result import Finding, Identity, Step
from mappings.running.conditions import Condition
from mappings.running.element import Element
from mappings.running.frame import Frame
from mappings.running.identity import IdentitySource
from mappings.running.rules import Rule
from mappings.running.run import Refused


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """Begins a resource, or goes on with the one of the message that has the same identity.

    name: what other rules call it. unidentified: what happens without an identity: `new` (it is made all the
    same), `skip`, `refuse` (the message); finding: the code that says so. lists, keep, status, ranks, write: as
    in `mappings.result.Intent`. always: whether it is made even if nothing of the message is in it.
    by_best: only the best identity says that two of the message are one; what else they have in common is the
    first one's.
    """

    where: str
    resource_type: str
    name: str
    identity: tuple[IdentitySource, ...]
    rules: tuple[Rule, ...]
    unidentified: str = "new"
    finding: str = ""
    write: str = "merge"
    lists: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    status: str = ""
    ranks: Mapping[str, int] = field(default_factory=dict)
    always: bool = False
    by_best: bool = False

    def run(self, frame: Frame, element: Element | None) -> None:
        run = frame.run
        seen: list[Value] = []
        identities = self._identities(frame, seen)
        if not identities and self.unidentified != "new":
            finding = Finding(self.finding, "", f"nothing identifies the {self.resource_type}")
            if self.unidentified == "refuse":
                raise Refused(finding)
            run.scope.account.findings.append(finding)
            return
        before = frame.names.get(self.name)
        mark = len(run.steps)
        draft, is_new = run.draft(self.name, self.resource_type, identities, by_best=self.by_best)
        if is_new:
            draft.write, draft.lists, draft.keep = self.write, self.lists, self.keep
            draft.status, draft.ranks = self.status, self.ranks
        frame.names[self.name] = draft.key
        run.steps.append(Step(draft.key, self.resource_type, run.positions(seen), self.where))
        if draft.name != self.name:
            return  # known already in another role: a patient that is to be merged with itself stays as it is
        at = frame.inner()
        for rule in self.rules:
            rule.run(at, draft.root)
        if is_new and not draft.root.is_substance and not self.always:
            run.forget(draft, mark)
            if before is None:
                del frame.names[self.name]
            else:
                frame.names[self.name] = before

    def _identities(self, frame: Frame, seen: list[Value]) -> tuple[Identity, ...]:
        found: list[Identity] = []
        for source in self.identity:
            looked: list[Value] = []
            condition: Condition | None = source.when
            if condition is None or condition.holds(frame, looked):
                found += source.identities(frame, self.resource_type, seen)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class EveryResource:
    """Rules that run on every resource that the message has made so far."""

    where: str
    rules: tuple[Rule, ...]

    def run(self, frame: Frame, element: Element | None) -> None:
        for draft in list(frame.run.drafts.values()):
            for rule in self.rules:
                rule.run(frame, draft.root)
