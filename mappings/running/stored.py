"""Rules that say what becomes of an element that is stored."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.result import Step
from mappings.running.element import Element, is_filled
from mappings.running.frame import Frame


@dataclass(frozen=True, slots=True)
class ClearRule:
    """Empties an element on purpose; nothing happens where an earlier rule has filled it."""

    where: str
    path: str

    def run(self, frame: Frame, element: Element | None) -> None:
        assert element is not None
        if is_filled(element.content, self.path):
            return
        element.draft.cleared.append(self.path)
        path = f"{element.draft.resource_type}.{self.path}"
        frame.run.steps.append(Step(element.draft.key, path, (), self.where))


@dataclass(frozen=True, slots=True)
class KeepRule:
    """Says of an element that what the message has for it is only for a resource that has none stored."""

    where: str
    path: str

    def run(self, frame: Frame, element: Element | None) -> None:
        assert element is not None
        element.draft.defaulted.append(self.path)
