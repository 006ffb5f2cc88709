"""Strings as search compares them: without case, accents, punctuation or surplus spaces.

Source: hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import unicodedata

# Apostrophes and full stops join what they separate (O'Brien = OBrien, J.R. = JR) ...
_JOINING = "'’‘ʼ`´."
# ... other ASCII punctuation stands for a space (Smith-Jones = Smith Jones).
_ASCII = str.maketrans(
    {**dict.fromkeys('!"#$%&()*+,-/:;<=>?@[\\]^_{|}~', " "), **dict.fromkeys(_JOINING, None)}
)


def fold(text: str) -> str:
    """The form of a text in which searches and sorting compare it.

    A text of punctuation alone keeps it, so that nothing folds to the empty string that every string
    starts with (unless it is blank).
    """
    if text.isascii():
        folded = " ".join(text.lower().translate(_ASCII).split())
    else:
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        folded = " ".join("".join([_fold_character(c) for c in decomposed.translate(_ASCII)]).split())
    return folded or " ".join(text.casefold().split())


def _fold_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Mn":
        return ""
    return " " if category[0] == "P" else character
