"""What a handler of an interaction gets: the request, the open unit of work and what may be touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.auth.access import Decision
from server.auth.principal import Principal
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.storage.interface import Reader, Writer

Unit = TypeVar("Unit", Reader, Writer)


@dataclass(frozen=True, slots=True)
class Call(Generic[Unit]):
    """One interaction under way.

    principal: who calls. unit: the snapshot or the write transaction. decision: what this interaction may see
    and write. decide: the decision for another interaction on a type, for those that turn into one (an update
    that creates); it raises FhirError forbidden. caller: what makes two principals the same one for a paging
    cursor.
    """

    context: Context
    principal: Principal
    request: InteractionRequest
    unit: Unit
    decision: Decision
    decide: Callable[[str, str], Decision]
    caller: tuple[object, ...]


ReadingHandler = Callable[[Call[Reader]], InteractionResponse]
WritingHandler = Callable[[Call[Writer]], InteractionResponse]
