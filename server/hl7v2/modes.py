"""Which acknowledgement a sender is owed, and when (pure).

Original mode: one answer, AA, AE or AR, at once (`stored`) or when the message was processed. Enhanced mode:
CA, CE or CR as soon as the message is stored, where MSH-15 asks for it, and AA, AE or AR after it was processed
where MSH-16 does. A source may be heard in one of them whatever its messages say.
Source: HL7 v2.5.1, 2.9.2 and 2.9.3; table 0155
"""

from __future__ import annotations

from dataclasses import dataclass

ALWAYS, NEVER, ON_ERROR, ON_SUCCESS = "AL", "NE", "ER", "SU"
_CONDITIONS = frozenset({ALWAYS, NEVER, ON_ERROR, ON_SUCCESS})
# What is said of a message: taken, wrong (sending it again as it is does not help), not taken.
ACCEPTED, ERROR, REJECTED = "A", "E", "R"


@dataclass(frozen=True, slots=True)
class Mode:
    """How one message is answered. accept: the condition of the answer at commit. application: of the answer
    after it was processed, NE for none. waits: original mode answers after it was processed, too."""

    enhanced: bool = False
    accept: str = ALWAYS
    application: str = NEVER
    waits: bool = False

    def code(self, word: str) -> str:
        """The code that answers at commit: word is ACCEPTED, ERROR or REJECTED; "" for no answer."""
        return ("C" if self.enhanced else "A") + word if is_due(self.accept, word) else ""


def mode_of(accept: str, application: str, *, setting: str = "", ack_on: str = "stored") -> Mode:
    """The mode of a message. accept, application: MSH-15 and MSH-16. setting: `mode` of its source.

    Where one of them is empty, it is asked for nothing; a word that is none of the table counts as AL, since
    an answer too many does less harm than one too few.
    """
    if setting == "aa":
        return Mode()
    if setting == "original" or (setting == "" and not accept and not application):
        return Mode(waits=ack_on == "processed")
    if not accept and not application:
        accept = ALWAYS
    return Mode(True, _condition(accept), _condition(application))


def _condition(text: str) -> str:
    return text if text in _CONDITIONS else ALWAYS if text else NEVER


def is_due(condition: str, word: str) -> bool:
    """Whether what is said with this word is to be said at all."""
    if condition == ON_ERROR:
        return word != ACCEPTED
    if condition == ON_SUCCESS:
        return word == ACCEPTED
    return condition == ALWAYS


def word_of(state: str) -> str:
    """What an application acknowledgement says of a message in a final state."""
    return ACCEPTED if state in ("applied", "duplicate") else ERROR
