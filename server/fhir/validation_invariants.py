"""Every invariant of R4 that Baton checks as a function of one element: name -> function, true when it holds.

generated/invariants.json says of each of R4's invariants whether it is checked here, elsewhere, or not.
The functions are called on elements whose shape may still be wrong; whoever calls them ignores a
TypeError, KeyError, AttributeError, ValueError or IndexError, because the shape is reported by itself.
"""

from __future__ import annotations

from server.fhir.validation_invariants_clinical import CLINICAL_INVARIANTS
from server.fhir.validation_invariants_datatypes import DATATYPE_INVARIANTS, Invariant
from server.fhir.validation_invariants_definitional import DEFINITIONAL_INVARIANTS

INVARIANTS: dict[str, Invariant] = DATATYPE_INVARIANTS | CLINICAL_INVARIANTS | DEFINITIONAL_INVARIANTS
SHAPE_ERRORS = (TypeError, KeyError, AttributeError, ValueError, IndexError)
