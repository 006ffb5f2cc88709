"""Passwords that are guessed first: a shipped list, and what people make of its words to please a rule.

Pure rules over `common_passwords.txt.gz`.
Source: NIST SP 800-63B section 5.1.1.2 (compare with commonly used, expected or compromised values).
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from itertools import pairwise

_FEWEST_CHARACTERS = 5  # different ones


@cache
def _common() -> frozenset[str]:
    packed = files(__package__).joinpath("common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode("utf-8").split("\n")) - {""}


def is_common(password: str) -> bool:
    """Whether a password is of the list, in any case; or a word of it with digits and signs around it, or one
    repeated; or has few different characters, or nothing but the next character each time."""
    folded = password.casefold()
    return (
        len(set(folded)) < _FEWEST_CHARACTERS
        or _is_row(folded)
        or any(word in _common() for word in {folded, _core(folded), _repeated(folded)})
    )


def _core(text: str) -> str:
    """The text without what is no letter at either end."""
    letters = [place for place, letter in enumerate(text) if letter.isalpha()]
    return text[letters[0] : letters[-1] + 1] if letters else text


def _repeated(text: str) -> str:
    """The shortest piece that the text repeats, or the text itself."""
    place = (text + text).find(text, 1)
    return text[:place]


def _is_row(text: str) -> bool:
    """Whether each character is the next one, up or down; 0 comes after 9."""
    steps = {(ord(after) - ord(before)) % 10 for before, after in pairwise(text)}
    return steps in ({1}, {9}) and (text.isdigit() or text.isalpha())
