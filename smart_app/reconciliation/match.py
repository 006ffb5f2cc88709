"""Items -> Reconciliation: deterministic tiers and min-cost pairing (domain 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from smart_app.reconciliation.records import Allergy, DrugLookup, Item, Reconciliation


def reconcile(
    before: Sequence[Item],
    after: Sequence[Item],
    evidence: Sequence[Item],
    terminology: DrugLookup,
    *,
    allergies: Sequence[Allergy] = (),
) -> Reconciliation:
    """Group two medication lists line by line, with each difference in words and the alerts of both.

    Every item of `before` and `after` is in exactly one group. The result depends neither on the
    order of the items nor on anything but the arguments. Groups come in the order of the board:
    changed, possible, only-before, only-after, identical; then by name and reference.
    """
    raise NotImplementedError
