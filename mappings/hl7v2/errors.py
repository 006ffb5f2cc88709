"""What is wrong with a message, in HL7's own codes."""

from __future__ import annotations


class Hl7Error(ValueError):
    """A message that cannot be taken, or a part of it that cannot be used.

    code: of table 0357 (`100` segment sequence, `101` required field missing, `102` data type, `207` internal
    error, ...). location: a position as `PID[1]-3[1].4.2`, `MSH-2` or `MSH`, "" for none. text: words without
    anything of the message. Source: HL7 v2.5.1, 2.15.5 and table 0357
    """

    def __init__(self, code: str, location: str, text: str) -> None:
        super().__init__(f"{code} {location}: {text}" if location else f"{code}: {text}")
        self.code = code
        self.location = location
        self.text = text
