"""The access oracle; `access_oracle` is the folder `oracle` beside this file.

What a search finds among what may be seen is answered by the search oracle (../search_oracle), so its folder is
made a package here as well.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from server.auth.context import AuthContext
from server.policy.roles import read_policy, use

HERE = Path(__file__).parent
for _name, _folder in (
    ("search_oracle", HERE.parent / "search_oracle" / "oracle"),
    ("access_oracle", HERE / "oracle"),
):
    if _name not in sys.modules:
        _spec = importlib.machinery.ModuleSpec(_name, None, is_package=True)
        _spec.submodule_search_locations = [str(_folder)]
        sys.modules[_name] = importlib.util.module_from_spec(_spec)


# What a site leaves to the staff of organizations: some less than others, or everybody less than its own.
HOUSES: Mapping[str, Mapping[str, str]] = {
    "some-less": {"Organization/a": "organization", "Organization/b": "related"},
    "others-less": {"Organization/a": "all", "Organization/b": "organization", "*": "related"},
}


@pytest.fixture(scope="session", params=HOUSES)
def policy_text(request: pytest.FixtureRequest) -> str:
    """A site's policy: the shipped one with roles of every reach, which may all open charts in an emergency,
    and organizations that narrow it."""
    document = json.loads(files("server.policy").joinpath("roles.json").read_text("utf-8"))
    for reach, minutes in (("all", 10), ("organization", 15), ("related", 20)):
        document["roles"][f"reaches-{reach}"] = {
            "title": reach,
            "reach": reach,
            "types": {"*": "cruds"},
            "emergency_minutes": minutes,
        }
    document["organizations"] = HOUSES[request.param]
    return json.dumps(document)


@pytest.fixture
def site_policy(policy_text: str) -> Iterator[Mapping[str, Any]]:
    """That policy, in force in this process."""
    use(read_policy(policy_text, "tests"))
    yield json.loads(policy_text)
    use(None)


@pytest.fixture
def enter(as_token: Callable[..., Any], authorization: AuthContext) -> Callable[..., Any]:
    """`enter(grant)`: requests with a new token of a grant (`oracle/grants.py`)."""
    from access_oracle.entrance import Entrance

    return Entrance(as_token, authorization)
