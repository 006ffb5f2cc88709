"""A written instruction -> plain words and numbers: fractions, doubled numbers, times of day.

Only spelling is settled here; what the words mean is the business of `sig_text`.
"""

from __future__ import annotations

import re
from fractions import Fraction

_NUMBER_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "half": "0.5",
}  # fmt: skip
_WRITTEN = "|".join(_NUMBER_WORDS)
_TOKEN = re.compile(r"\d+(?:\.\d+)?(?:/\d+)?|\.\d+|[a-zµμ%\[\]{}']+|[-/:(),;]")
_TIME = re.compile(r"\bat (\d{1,2})(?::(\d{2}))? ?([ap])m\b")
_SPELLINGS = (
    (re.compile(r"½"), " 1/2"),
    (re.compile(r"¼"), " 1/4"),
    (re.compile(r"¾"), " 3/4"),
    (re.compile(r"[–—]"), "-"),
    (re.compile(r"×"), "x"),
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"\b(?:[a-z]\.){2,}"), lambda found: found[0].replace(".", "") + " "),
    (re.compile(r"(?<=[a-z)])\."), " "),
    (re.compile(r"(?<=[a-z])\(s\)"), "s"),
    (re.compile(r"\bi(?= (?:tab|cap|gtt|puff|po\b))"), "1"),
    (re.compile(r"\bii(?= (?:tab|cap|gtt|puff|po\b))"), "2"),
    (re.compile(r"\b(?:one|1)[- ]half\b"), "half"),
    (re.compile(r"\b(?:one|1)[- ]quarter\b|\bquarter(?= (?:of )?(?:a|tab))"), "0.25"),
    (re.compile(r"\b1(?: and)? 1/2\b"), "1.5"),
    (re.compile(r"\b(one|two|three) and (?:a half|half|1/2)"), lambda found: _NUMBER_WORDS[found[1]] + ".5"),
    (re.compile(r"\b(half|0\.25|1/2|1/4|3/4)[- ](?:of )?an? (?=tab|cap|pill)"), r"\1 "),
    (re.compile(r"\b(half|0\.25|1/2|1/4|3/4)-(?=tab|cap|pill)"), r"\1 "),
    (re.compile(r"\b(once|twice)-(?=daily|weekly)"), r"\1 "),
    # "one (1) tablet", "1 (one) tablet": a number said twice counts once.
    (re.compile(rf"\b({_WRITTEN}) \((\d+)\)"), lambda found: _said_twice(found, found[1], found[2])),
    (re.compile(rf"\b(\d+) \(({_WRITTEN})\)"), lambda found: _said_twice(found, found[2], found[1])),
)


def _said_twice(found: re.Match[str], word: str, digits: str) -> str:
    return digits if _NUMBER_WORDS[word] == digits else found[0]


def plain_words(text: str) -> tuple[list[str], set[str]]:
    """Words, numbers and punctuation of an instruction, and the times of day (HH:MM:SS) taken out of it."""
    lowered = text.lower()
    times: set[str] = set()
    for pattern, plain in _SPELLINGS:
        lowered = pattern.sub(plain, lowered)
    for found in _TIME.finditer(lowered):
        hour = int(found[1]) % 12 + (12 if found[3] == "p" else 0)
        times.add(f"{hour:02d}:{found[2] or '00'}:00")
    return [_NUMBER_WORDS.get(word, word) for word in _TOKEN.findall(_TIME.sub(" ", lowered))], times


def number(word: str) -> Fraction | None:
    """The number a word is, else None."""
    try:
        return Fraction(word) if word and (word[0].isdigit() or word[0] == ".") else None
    except (ValueError, ZeroDivisionError):
        return None
