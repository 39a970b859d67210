"""Which outages to screen: each element alone, or what words say."""

from __future__ import annotations

from collections.abc import Sequence

from grid_models.errors import InvalidInput, Issue
from grid_models.power.network import PowerNetwork

Outage = tuple[tuple[str, int], ...]  # elements that are out together: (table, pandapower index)
_SCREENED = ("line", "trafo", "trafo3w", "impedance", "gen")


def every_outage(network: PowerNetwork, tables: Sequence[str] = _SCREENED) -> list[Outage]:
    """Each element in service of the given tables, alone."""
    return [
        ((table, int(index)),)
        for table in tables
        if table in network.tables
        for index in network.tables[table].index[network.in_service(table)]
    ]


def chosen_outages(network: PowerNetwork, words: Sequence[str]) -> list[Outage]:
    """Outages from words: "line 7", "line *", "trafo 3 + line 7".

    Raises:
        InvalidInput: tables or elements that the network does not have; all at once.
    """
    chosen: list[Outage] = []
    issues: list[Issue] = []
    for word in words:
        parts = [tuple(part.split()) for part in word.split("+")]
        bad = [p for p in parts if len(p) != 2 or p[0] not in _SCREENED or p[0] not in network.tables]
        if bad or (len(parts) > 1 and any(p[1] == "*" for p in parts)):
            issues.append(
                Issue("outage", "", (word,), f"is none; write 'line 7', 'line *', 'trafo 3 + line 7' of {', '.join(_SCREENED)}")
            )
            continue
        if parts[0][1] == "*":
            chosen += every_outage(network, (parts[0][0],))
            continue
        known = {p for p in parts if p[1].isdecimal() and int(p[1]) in network.tables[p[0]].index}
        missing = [" ".join(p) for p in parts if p not in known]
        issues += [Issue("outage", "", (m,), "the network has no such element") for m in missing]
        if not missing:
            chosen.append(tuple((p[0], int(p[1])) for p in parts))
    if issues:
        raise InvalidInput(issues)
    return chosen
