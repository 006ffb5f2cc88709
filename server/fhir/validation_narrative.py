"""The XHTML of a narrative: well formed, only what R4 allows, with content (invariants txt-1 and txt-2).

Allowed elements and attributes are in definitions/narrative.json. Scripts, event handlers, forms, frames,
document types and entities are refused, and so are links that could run code.
Source: hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

import msgspec

_DEFINITIONS = Path(__file__).parent / "definitions"
_TEXT_AFTER_TAG = re.compile(r"[a-z\"'/]>[\s\u00a0]*[^<&\s\u00a0]")
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


def _checker(rules: dict[str, Any], parser: expat.XMLParserType) -> None:
    """Give the parser callbacks that raise _Refused at the first fault of the narrative it reads."""
    allowed, links, namespace = rules["allowed"], rules["link_attributes"], rules["namespace"]

    def root(name: str, attributes: dict[str, str]) -> None:
        if name != "div" or attributes.get("xmlns") != namespace:
            raise _Refused('The narrative must be a div with xmlns="http://www.w3.org/1999/xhtml".')
        parser.StartElementHandler = inner
        inner(name, attributes)

    def inner(name: str, attributes: dict[str, str]) -> None:
        if name not in allowed:
            raise _Refused("The narrative has an element that FHIR does not allow (txt-1).")
        for attribute, value in attributes.items():
            if attribute not in allowed[name] or (attribute == "xmlns" and value != namespace):
                raise _Refused("The narrative has an attribute that FHIR does not allow (txt-1).")
            if attribute in links and not _is_harmless(rules, name, value):
                raise _Refused("The narrative has a link of a kind that FHIR does not allow (txt-1).")

    def refuse(*_: Any) -> None:
        raise _Refused("The narrative must not have a document type, entities or processing instructions.")

    parser.StartElementHandler = root
    parser.StartDoctypeDeclHandler = refuse
    parser.ProcessingInstructionHandler = refuse


def _is_harmless(rules: dict[str, Any], element: str, link: str) -> bool:
    # Browsers ignore control characters and spaces in a scheme: "java\nscript:" runs.
    link = "".join(link.split()).lower()
    if element == "img" and link.startswith(rules["image_data"]):
        return True
    scheme, colon, _ = link.partition(":")
    return (
        not colon
        or scheme in rules["link_schemes"]
        or (scheme.isprintable() and not {"/", "#", "?"}.isdisjoint(scheme))
    )


def _has_content(xhtml: str) -> bool:
    """Whether a narrative, known to be well formed, has an image or text that is not only space (txt-2)."""
    if _TEXT_AFTER_TAG.search(xhtml) is not None or "<img" in xhtml:
        return True
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.CharacterDataHandler = found.append
    parser.Parse(xhtml, True)
    return bool("".join(found).strip(_SPACE))


def fault_of_narrative(xhtml: str) -> str:
    """What is wrong with a narrative's div, or "" if nothing is. The text quotes nothing of it."""
    parser = expat.ParserCreate()
    _checker(_rules(), parser)
    try:
        parser.Parse(xhtml, True)
    except _Refused as refusal:
        return str(refusal)
    except (expat.ExpatError, ValueError):
        return "The narrative is not well-formed XHTML."
    return "" if _has_content(xhtml) else "The narrative has no content (txt-2)."


def accepts_narrative(value: Any) -> bool:
    """Whether a JSON value is a narrative's div as R4 allows it. Raises TypeError if it is not a text."""
    if type(value) is not str:
        raise TypeError
    return fault_of_narrative(value) == ""
