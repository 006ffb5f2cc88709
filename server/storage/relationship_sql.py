"""Limits of a rule -> SQL: is the caller related to a patient, now.

Relationships are rows that are there already; what the caller acts as (roles, organizations, teams) is read in
the same statement, once, so nothing that was written or that ended meanwhile is missed and nothing is
remembered. A probe costs a look-up for each of these parties, of whom a person has a few.
"""

from __future__ import annotations

from server.fhir.index_rows import ORGANIZATION, ROLE, TEAM
from server.fhir.visibility import Limit, Visibility
from server.storage.dialect import Parameters
from server.storage.logic_sql import FALSE, all_of, any_of


class RelationshipSql:
    """The limits of one caller at one moment, within one statement."""

    def __init__(self, visible: Visibility, parameters: Parameters) -> None:
        self._parameters = parameters
        self._dialect = parameters.dialect
        self._visible = visible
        self._bound: dict[str, str] = {}

    def kept(self, limit: Limit, patient: str) -> str:
        """Whether the limit is kept by the chart of a patient. patient: an expression."""
        return self.unless_free(limit, self.related(limit, patient))

    def unless_free(self, limit: Limit, kept: str) -> str:
        """What keeps the limit, or that it is not one for the caller."""
        ways = [kept]
        if limit.of:
            ways.append(self._works_for(limit.of, "NOT "))
        if limit.but:
            ways.append(self._works_for(limit.but))
        return any_of(ways)

    def charts(self, limit: Limit, resource_type: str) -> str:
        """A SELECT of the rids of a type in all charts that keep a limit which is one for everybody."""
        if not self._is_known:
            return ""
        chart, row = self._parameters.alias(), self._parameters.alias()
        of_type = f"{row}.patient = {chart}.patient AND {row}.type = {self._parameters.bind(resource_type)}"
        return (
            f"SELECT {row}.rid FROM relationship {chart} {self._dialect.follow('compartment', row, of_type)}"
            f" WHERE {chart}.actor {self._among_parties(limit)} AND {self._in_force(chart)}"
        )

    @property
    def _is_known(self) -> bool:
        return self._visible.caller is not None and self._visible.at is not None

    def related(self, limit: Limit, patient: str, *, lasting: bool = False) -> str:
        """The caller is related to the patient. lasting: an emergency access does not count."""
        if not self._is_known:
            return FALSE
        row = self._parameters.alias()
        where = [f"{row}.actor {self._among_parties(limit)} AND {row}.patient = {patient}", self._in_force(row)]
        if lasting:
            where.append(f"{row}.rid > 0")
        return self._dialect.exists(f"relationship {row}", " AND ".join(where))

    def _works_for(self, organizations: frozenset[int], negation: str = "") -> str:
        """The caller works for one of the organizations now, or negated for none of them."""
        if not self._is_known:
            return FALSE
        row = self._parameters.alias()
        of = f"{row}.member = {self._caller} AND {row}.kind = {ORGANIZATION}"
        named = f"{row}.party {self._parameters.among(sorted(organizations))}"
        return negation + self._dialect.exists(
            f"membership {row}", f"{of} AND {named} AND {self._in_force(row)}"
        )

    def _among_parties(self, limit: Limit) -> str:
        """What follows a column to ask whether it is the caller, or what the caller acts as.

        Teams count that the caller, a role or (where they count) an organization of the caller is a member of.
        """
        kinds = f"IN ({ROLE}, {ORGANIZATION})" if limit.organizations else f"= {ROLE}"
        one, team = self._parameters.alias(), self._parameters.alias()
        acts_as = f"{one}.member = {self._caller} AND {one}.kind {kinds} AND {self._in_force(one)}"
        member = self._dialect.follow(
            "membership", team, f"{team}.member = {one}.party AND {team}.kind = {TEAM}"
        )
        return self._dialect.in_rows(
            f"SELECT CAST({self._caller} AS bigint)"
            f" UNION ALL SELECT {one}.party FROM membership {one} WHERE {acts_as}"
            f" UNION ALL SELECT {one}.party FROM membership {one}"
            f" WHERE {one}.member = {self._caller} AND {one}.kind = {TEAM} AND {self._in_force(one)}"
            f" UNION ALL SELECT {team}.party FROM membership {one} {member}"
            f" WHERE {acts_as} AND {self._in_force(team)}"
        )

    def _in_force(self, row: str) -> str:
        return f"{row}.until > {self._at} AND {row}.starts <= {self._at}"

    @property
    def _caller(self) -> str:
        return self._bind("caller", self._visible.caller)

    @property
    def _at(self) -> str:
        return self._bind("at", self._visible.at)

    def _bind(self, name: str, value: int | None) -> str:
        if name not in self._bound:
            self._bound[name] = self._parameters.bind(value)
        return self._bound[name]


def all_kept(sql: RelationshipSql, limits: tuple[Limit, ...], patient: str) -> str:
    """Whether all limits are kept by the chart of a patient."""
    return all_of(sql.kept(limit, patient) for limit in limits)
