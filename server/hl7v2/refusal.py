"""Why a message is not applied: a closed set of codes with their words, none of which says anything of it."""

from __future__ import annotations

from collections.abc import Mapping

# Code -> what it means. Errors of the FHIR server keep their own kind (docs/reference/errors.md).
WORDS: Mapping[str, str] = {
    "unreadable": "the message cannot be read",
    "unmapped": "the map refuses the message",
    "ambiguous": "several stored resources have the identifiers of one",
    "other-patient": "what the message changes is stored in the chart of another patient",
    "inverse-merge": "the survivor was merged into the one that is to end: that would be a circle",
    "merged-elsewhere": "the one that is to end was merged into another one before",
    "unknown-merge": "the map names a merge of what it does not name otherwise",
    "cannot-retire": "there is no mark of being out of use for the type",
    "other-type": "an identity leads to a resource of another type",
    "given-up": "workers ended before it was applied, again and again",
    "discarded": "a person decided that it is not applied",
}


class Refused(Exception):
    """The message cannot be applied, and trying again changes nothing.

    code: of WORDS, or a finding's. about: what it concerns, in words of the map: a resource type, an intent's
    key, a position; never a value.
    """

    def __init__(self, code: str, about: str = "", words: str = "") -> None:
        super().__init__(code)
        self.code, self.about, self.words = code, about, words or WORDS[code]

    def __str__(self) -> str:
        return f"{self.code} {self.words}" + (f" ({self.about})" if self.about else "")
