"""What each signing key is good for at a moment, for people who look after them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from server.auth.keys import SigningKeys

State = Literal["signs", "coming", "accepted", "retired"]


@dataclass(frozen=True, slots=True)
class KeyState:
    """signs_from: None for one that has signed since before times were kept. published_until: None while no
    successor is known.
    """

    kid: str
    state: State
    signs_from: datetime | None
    published_until: datetime | None


def key_states(keys: SigningKeys, now: datetime) -> Iterator[KeyState]:
    """Every key, oldest first; none before the first start. Raises: SigningKeyError."""
    if not keys.exist():  # looking makes no key
        return
    current = keys.signing()
    for key in keys.schedule():
        state: State
        if key.published_until is not None and key.published_until <= now:
            state = "retired"
        elif key.signs_from > now:
            state = "coming"
        else:
            state = "signs" if key == current else "accepted"
        began = key.signs_from if key.signs_from.year > 1970 else None
        with contextlib.suppress(FileNotFoundError):  # replaced at once, between the schedule and the file
            yield KeyState(str(keys.pair(key).kid), state, began, key.published_until)
