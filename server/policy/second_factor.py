"""Which roles sign in with a second factor, read from `second_factor.json`; a site's setting overrules it.

Pure data. The demonstration sets `optional`, so that its printed logins work at once; a person who sets a
second factor up there is asked for it from then on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

REQUIRED, OPTIONAL, BY_ROLE = "required", "optional", "by-role"
MODES = (BY_ROLE, REQUIRED, OPTIONAL)


@cache
def _by_role() -> Mapping[str, str]:
    document = json.loads(files(__package__).joinpath("second_factor.json").read_text("utf-8"))
    return dict(document["roles"])


def needs_second_factor(role: str, mode: str) -> bool:
    """Whether somebody of the role is signed in by a second factor alone. mode: one of MODES.

    What is neither `optional` here nor there is required.
    """
    stated = _by_role().get(role, _by_role().get("*", REQUIRED)) if mode == BY_ROLE else mode
    return stated != OPTIONAL
