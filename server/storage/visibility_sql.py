"""Visibility -> one SQL predicate, for any alias of `resource` and for versions beside it.

Every statement that returns or follows resources adds this predicate, before LIMIT. Deny by default: no rule,
no row. See `server.fhir.visibility` for what a rule means; beyond that:

- A `referred` rule shows a resource to which a resource refers that a rule with patients shows. Its own
  `patients`, when given, narrows the compartments of those referring resources.
- An old version has no index rows, and may come from another chart. So a rule with patients shows the versions
  since the resource came into its present compartments, a rule with criteria the current version alone. What
  keeps a limit does so by a compartment, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from server.fhir.hashing import reference_hash
from server.fhir.search_query import Clause
from server.fhir.visibility import Limit, Rule, Visibility
from server.storage.dialect import Parameters
from server.storage.logic_sql import FALSE, TRUE, all_of, any_of
from server.storage.relationship_sql import RelationshipSql, all_kept

# (clause, alias) -> predicate; given by `search_sql`, which itself asks for visibility in chains.
ClausePredicate = Callable[[Clause, str], str]


def patient_hashes(rule: Rule) -> list[int]:
    """The compartment hashes of a rule's patients, in a fixed order."""
    return [reference_hash(f"Patient/{patient}") for patient in sorted(rule.patients or ())]


_EVERYTHING = Rule()


class VisibilitySql:
    """One caller's Visibility, ready to be asked for predicates within one statement."""

    def __init__(self, visible: Visibility, parameters: Parameters, clause: ClausePredicate) -> None:
        self._visible = visible
        self._parameters = parameters
        self._clause = clause
        self._relationships = RelationshipSql(visible, parameters)

    def predicate(self, alias: str, resource_type: str | None, *, version: str = "") -> str:
        """What must hold for the row. resource_type None: the type is read from the row.

        version: the column that holds the number of the version shown, where it may be an old one.
        """
        if resource_type is not None:
            return self._of_rules(self._visible.of(resource_type), alias, version)
        parts = []
        for rules, which in self._groups(alias):
            parts.append(all_of([which or TRUE, self._of_rules(rules, alias, version)]))
        return any_of(parts)

    def candidates(self, resource_type: str) -> tuple[str, bool]:
        """A SELECT of the rids of a type among which all visible ones are, and whether it has no others.

        "" where what is visible is not limited to compartments.
        """
        rules = self._visible.of(resource_type)
        patients = sorted({hash for rule in rules for hash in patient_hashes(rule)})
        lists: dict[Limit | None, str] = {}
        for rule in rules:
            of_everybody = next((limit for limit in rule.limits if not limit.is_for_some), None)
            if rule.referred or (rule.patients is None and of_everybody is None):
                return "", False
            if rule.patients is None and of_everybody is not None and of_everybody not in lists:
                lists[of_everybody] = self._relationships.charts(of_everybody, resource_type)
        if patients:
            row = self._parameters.alias()
            lists[None] = (
                f"SELECT {row}.rid FROM compartment {row}"
                f" WHERE {row}.patient {self._parameters.among(patients)}"
                f" AND {row}.type = {self._parameters.bind(resource_type)}"
            )
        found = " UNION ALL ".join(rids for rids in lists.values() if rids)
        return found, bool(found) and not any(rule.criteria or rule.limits for rule in rules)

    def _groups(self, alias: str) -> Iterator[tuple[tuple[Rule, ...], str]]:
        """Rules with the condition on the type of the rows they are for, one group for all equal rules."""
        named: dict[tuple[Rule, ...], list[str]] = {}
        for name, rules in sorted(self._visible.rules.items()):
            if name != "*":
                named.setdefault(rules, []).append(name)
        for rules, names in named.items():
            yield rules, f"{alias}.type {self._parameters.among(names)}"
        others = self._visible.of("*")
        if others:
            known = [name for names in named.values() for name in names]
            yield others, f"NOT ({alias}.type {self._parameters.among(known)})" if known else ""

    def _of_rules(self, rules: tuple[Rule, ...], alias: str, version: str) -> str:
        if _EVERYTHING in rules:
            return TRUE
        return any_of([self._of_rule(rule, alias, version) for rule in rules])

    def _of_rule(self, rule: Rule, alias: str, version: str) -> str:
        parts = []
        if rule.referred:
            parts.append(self._referred(rule, alias))
        elif rule.patients is not None:
            parts.append(self._in_compartments(rule, alias))
            if version:
                parts.append(f"{version} >= {alias}.settled_version")
        parts.extend(self._keeps(limit, rule, alias, version) for limit in rule.limits)
        if rule.criteria:
            if version:
                parts.append(f"{version} = {alias}.version")
            parts.extend(self._clause(clause, alias) for clause in rule.criteria)
            parts.append(f"{alias}.deleted = 0")
        return all_of(parts)

    def _in_compartments(self, rule: Rule, alias: str) -> str:
        if not rule.patients:
            return FALSE
        patients, row = self._parameters.among(patient_hashes(rule)), self._parameters.alias()
        return self._parameters.dialect.exists(
            f"compartment {row}",
            f"{row}.patient {patients} AND {row}.type = {alias}.type AND {row}.rid = {alias}.rid",
        )

    def _keeps(self, limit: Limit, rule: Rule, alias: str, version: str) -> str:
        """A chart that the row is in keeps the limit; where the rule has patients, one of theirs."""
        if rule.patients is not None and not rule.patients:
            return FALSE
        row = self._parameters.alias()
        where = [f"{row}.rid = {alias}.rid"]
        if rule.patients is not None:
            of_patients = self._parameters.among(patient_hashes(rule))
            where.append(f"{row}.patient {of_patients} AND {row}.type = {alias}.type")
        where.append(self._relationships.related(limit, f"{row}.patient"))
        kept = [self._parameters.dialect.exists(f"compartment {row}", all_of(where))]
        if version:
            kept.append(f"{version} >= {alias}.settled_version")
        return self._relationships.unless_free(limit, all_of(kept))

    def _referred(self, rule: Rule, alias: str) -> str:
        """Walk the caller's compartments and probe each row for a reference here.

        The cost is the number of resources of those patients, whoever else refers to the popular target.
        """
        near = self._parameters.alias()
        ways = []
        for rules, which in self._groups(near):
            for way in rules:
                if way.referred or way.patients is None:
                    continue
                patients = way.patients if rule.patients is None else way.patients & rule.patients
                if patients:
                    ways.append(self._refers(replace(way, patients=patients), near, which, alias))
        return any_of(ways)

    def _refers(self, way: Rule, near: str, which: str, alias: str) -> str:
        dialect = self._parameters.dialect
        source = f"compartment {near}"
        where = [f"{near}.patient {self._parameters.among(patient_hashes(way))}"]
        if which:
            where.append(which)
        where.append(all_kept(self._relationships, way.limits, f"{near}.patient"))
        if way.criteria:
            row = self._parameters.alias()
            source += " " + dialect.follow("resource", row, f"{row}.rid = {near}.rid")
            where.extend(self._clause(clause, row) for clause in way.criteria)
        link = self._parameters.alias()
        refers = f"{link}.hash = {alias}.self_hash AND {link}.rid = {near}.rid"
        return dialect.exists(source, f"{all_of(where)} AND {dialect.exists(f'token {link}', refers)}")
