"""Types that this server serves and never stores as resources: what it says itself, from rows of its own.

No client writes them, and no row source of stored resources has any: searches by chain, `_has`, `_include` and
`_revinclude` cannot reach them and say so.
"""

from __future__ import annotations

UNSTORED = frozenset({"AuditEvent"})
