"""Words of drug names that may have been written wrong: the known words that lie near.

The first letter has to be right: names that differ in it are other names more often than slips. Which of
the near words is meant is not decided here: several may be, and then the reader of the name has to ask
what else it says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rapidfuzz.distance import OSA

_SHORTEST = 6
_LONG = 9
"""Letters from which on a word may hold two slips."""


class Spelling:
    """Known words by first letter and length. A slip is a letter missing, added, changed, or two swapped."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words: dict[tuple[str, int], list[str]] = defaultdict(list)
        for word in sorted(set(words)):
            self._words[word[0], len(word)].append(word)

    def near(self, written: str) -> tuple[tuple[int, str], ...]:
        """(slips, word) of the nearest words and of those one slip further off, nearest first.

        Empty if none lies within one slip, or two from nine letters on.
        """
        if len(written) < _SHORTEST or not written.isalpha():
            return ()
        most = 2 if len(written) >= _LONG else 1
        found: list[tuple[int, str]] = []
        for length in range(len(written) - most - 1, len(written) + most + 2):
            for word in self._words.get((written[0], length), ()):
                slips = OSA.distance(written, word, score_cutoff=most + 1)
                if slips <= most + 1:
                    found.append((slips, word))
        found.sort()
        if not found or found[0][0] > most:
            return ()
        return tuple(pair for pair in found if pair[0] <= found[0][0] + 1)
