"""The XHTML of a narrative: well formed, only what R4 allows, with content (invariants txt-1 and txt-2).

Allowed elements and attributes are in definitions/narrative.json. Scripts, event handlers, forms, frames,
document types and entities are refused, and so are links that could run code.
Source: hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

import msgspec

_DEFINITIONS = Path(__file__).parent / "definitions"
_SPACE = "\u00a0 \t\r\n"


class _Refused(Exception):
    """What is wrong with a narrative, in words that do not quote it."""


@cache
def _rules() -> dict[str, Any]:
    rules: dict[str, Any] = msgspec.json.decode((_DEFINITIONS / "narrative.json").read_bytes())
    common = frozenset(rules["attributes"])
    rules["allowed"] = {
        element: common | frozenset(rules["attributes_of"].get(element, ())) for element in rules["elements"]
    }
    rules["link_attributes"] = frozenset(rules["link_attributes"])
    rules["link_schemes"] = frozenset(rules["link_schemes"])
    rules["image_data"] = tuple(f"data:{media_type};base64," for media_type in rules["image_data_types"])
    return rules


class _Checker:
    """Follows the parser through one narrative and raises _Refused at the first fault."""

    __slots__ = ("has_content", "is_root", "rules")

    def __init__(self) -> None:
        self.rules = _rules()
        self.is_root = True
        self.has_content = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        allowed = self.rules["allowed"].get(name)
        if self.is_root:
            if name != "div" or attributes.get("xmlns") != self.rules["namespace"]:
                raise _Refused('The narrative must be a div with xmlns="http://www.w3.org/1999/xhtml".')
            self.is_root = False
        elif allowed is None:
            raise _Refused("The narrative has an element that FHIR does not allow (txt-1).")
        elif name == "img":
            self.has_content = True
        for attribute, value in attributes.items():
            if attribute not in allowed or (attribute == "xmlns" and value != self.rules["namespace"]):
                raise _Refused("The narrative has an attribute that FHIR does not allow (txt-1).")
            if attribute in self.rules["link_attributes"] and not self._is_harmless(name, value):
                raise _Refused("The narrative has a link of a kind that FHIR does not allow (txt-1).")

    def _is_harmless(self, element: str, link: str) -> bool:
        # Browsers ignore control characters and spaces in a scheme: "java\nscript:" runs.
        link = "".join(link.split()).lower()
        if element == "img" and link.startswith(self.rules["image_data"]):
            return True
        scheme, colon, _ = link.partition(":")
        return (
            not colon
            or not scheme.isprintable()
            or "/" in scheme
            or "#" in scheme
            or "?" in scheme
            or (scheme in self.rules["link_schemes"])
        )

    def text(self, data: str) -> None:
        if not self.has_content and data.strip(_SPACE):
            self.has_content = True

    def refuse(self, *_: Any) -> None:
        raise _Refused("The narrative must not have a document type, entities or processing instructions.")


def fault_of_narrative(xhtml: str) -> str:
    """What is wrong with a narrative's div, or "" if nothing is. The text quotes nothing of it."""
    checker = _Checker()
    parser = expat.ParserCreate()
    parser.StartElementHandler = checker.start
    parser.CharacterDataHandler = checker.text
    parser.StartDoctypeDeclHandler = checker.refuse
    parser.ProcessingInstructionHandler = checker.refuse
    try:
        parser.Parse(xhtml, True)
    except _Refused as refusal:
        return str(refusal)
    except (expat.ExpatError, ValueError):
        return "The narrative is not well-formed XHTML."
    return "" if checker.has_content else "The narrative has no content (txt-2)."


def accepts_narrative(value: Any) -> bool:
    """Whether a JSON value is a narrative's div as R4 allows it. Raises TypeError if it is not a text."""
    return fault_of_narrative(value) == ""
