"""The oracle and the door it is compared with; `search_oracle` is the folder `oracle` beside this file."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

if "search_oracle" not in sys.modules:
    _spec = importlib.machinery.ModuleSpec("search_oracle", None, is_package=True)
    _spec.submodule_search_locations = [str(Path(__file__).parent / "oracle")]
    sys.modules["search_oracle"] = importlib.util.module_from_spec(_spec)
