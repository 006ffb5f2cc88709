"""The terminology operations, a row each.

What they answer from: definitions stored here that the caller may read, the terminology's file, R4's own.
Source: hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from server.interactions.operations.definition import Operation, Parameter
from server.interactions.operations.terminology.expand import expand
from server.interactions.operations.terminology.lookup import lookup
from server.interactions.operations.terminology.subsumes import subsumes
from server.interactions.operations.terminology.translate import translate
from server.interactions.operations.terminology.validate_code import (
    validate_code_in_system,
    validate_code_in_value_set,
)

_R4 = "http://hl7.org/fhir/OperationDefinition/"
_CODE = (
    Parameter("code", "code"),
    Parameter("coding", "Coding"),
    Parameter("codeableConcept", "CodeableConcept"),
)
_JUDGED = (
    Parameter("display", "string"),
    Parameter("abstract", "boolean"),
    Parameter("displayLanguage", "code"),
)

TERMINOLOGY: tuple[Operation, ...] = (
    Operation(
        name="lookup",
        definition=f"{_R4}CodeSystem-lookup",
        levels=("type",),
        types=("CodeSystem",),
        parameters=(
            Parameter("code", "code"),
            Parameter("system", "uri"),
            Parameter("version", "string"),
            Parameter("coding", "Coding"),
            Parameter("displayLanguage", "code"),
            Parameter("property", "code", repeats=True),
        ),
        access="read",
        handler=lookup,
        elsewhere="it is asked of the type CodeSystem",
    ),
    Operation(
        name="validate-code",
        definition=f"{_R4}CodeSystem-validate-code",
        levels=("type", "instance"),
        types=("CodeSystem",),
        parameters=(
            Parameter("url", "uri"),
            Parameter("codeSystem", "Resource"),
            Parameter("version", "string"),
            *_CODE,
            *_JUDGED,
        ),
        access="read",
        handler=validate_code_in_system,
        elsewhere="it is asked of the type CodeSystem or of one of them",
    ),
    Operation(
        name="subsumes",
        definition=f"{_R4}CodeSystem-subsumes",
        levels=("type", "instance"),
        types=("CodeSystem",),
        parameters=(
            Parameter("codeA", "code"),
            Parameter("codeB", "code"),
            Parameter("system", "uri"),
            Parameter("version", "string"),
            Parameter("codingA", "Coding"),
            Parameter("codingB", "Coding"),
        ),
        access="read",
        handler=subsumes,
        elsewhere="it is asked of the type CodeSystem or of one of them",
    ),
    Operation(
        name="expand",
        definition=f"{_R4}ValueSet-expand",
        levels=("type", "instance"),
        types=("ValueSet",),
        parameters=(
            Parameter("url", "uri"),
            Parameter("valueSet", "Resource"),
            Parameter("valueSetVersion", "string"),
            Parameter("filter", "string"),
            Parameter("offset", "unsignedInt"),
            Parameter("count", "unsignedInt"),
            Parameter("includeDesignations", "boolean"),
            Parameter("includeDefinition", "boolean"),
            Parameter("activeOnly", "boolean"),
            Parameter("excludeNested", "boolean"),
            Parameter("excludeNotForUI", "boolean"),
            Parameter("excludePostCoordinated", "boolean"),
            Parameter("displayLanguage", "code"),
        ),
        access="read",
        handler=expand,
        elsewhere="it is asked of the type ValueSet or of one of them",
    ),
    Operation(
        name="validate-code",
        definition=f"{_R4}ValueSet-validate-code",
        levels=("type", "instance"),
        types=("ValueSet",),
        parameters=(
            Parameter("url", "uri"),
            Parameter("valueSet", "Resource"),
            Parameter("valueSetVersion", "string"),
            Parameter("system", "uri"),
            Parameter("systemVersion", "string"),
            *_CODE,
            *_JUDGED,
        ),
        access="read",
        handler=validate_code_in_value_set,
        elsewhere="it is asked of the type ValueSet or of one of them",
    ),
    Operation(
        name="translate",
        definition=f"{_R4}ConceptMap-translate",
        levels=("type", "instance"),
        types=("ConceptMap",),
        parameters=(
            Parameter("url", "uri"),
            Parameter("conceptMap", "Resource"),
            Parameter("conceptMapVersion", "string"),
            Parameter("system", "uri"),
            Parameter("version", "string"),
            *_CODE,
            Parameter("source", "uri"),
            Parameter("target", "uri"),
            Parameter("targetsystem", "uri"),
            Parameter("reverse", "boolean"),
        ),
        access="read",
        handler=translate,
        elsewhere="it is asked of the type ConceptMap or of one of them",
    ),
)
