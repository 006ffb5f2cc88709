"""The access oracle; `access_oracle` is the folder `oracle` beside this file.

What a search finds among what may be seen is answered by the search oracle (../search_oracle), so its folder is
made a package here as well.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
for _name, _folder in (
    ("search_oracle", HERE.parent / "search_oracle" / "oracle"),
    ("access_oracle", HERE / "oracle"),
):
    if _name not in sys.modules:
        _spec = importlib.machinery.ModuleSpec(_name, None, is_package=True)
        _spec.submodule_search_locations = [str(_folder)]
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
