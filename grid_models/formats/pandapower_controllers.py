"""pandapower's tap controllers as a table of plain columns, and back.

pandapower keeps controllers as Python objects; here each transformer that a `DiscreteTapControl` or a
`ContinuousTapControl` moves is a row of the table `tap_control`. Other controllers stay in the file for the export.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from grid_models.import_report import Note
from grid_models.tables import Table, frozen

_KINDS = ("DiscreteTapControl", "ContinuousTapControl")
_COLUMNS = (
    "element", "element_index", "side", "continuous", "vm_lower_pu", "vm_upper_pu", "vm_set_pu", "bounded", "level",
    "in_service", "controller",
)  # fmt: skip
_TARGETS = ("vm_lower_pu", "vm_upper_pu", "vm_set_pu")


def tap_control(net: Any) -> Table | None:
    """The table `tap_control` of a pandapower net, one row for each transformer that is regulated; None without any."""
    rows = [row for index in _ours(net) for row in _rows(net.controller.loc[index], index)]
    if not rows:
        return None
    columns = {name: frozen([row[i] for row in rows]) for i, name in enumerate(_COLUMNS)}
    return Table(frozen(np.arange(len(rows))), columns)


def not_run(net: Any) -> list[Note]:
    """A note for every controller that does not move a tap, by its kind."""
    ours = set(_ours(net))
    kinds: dict[str, list[int]] = {}
    for index in net.controller.index:
        if index not in ours:
            kinds.setdefault(type(net.controller.object.at[index]).__name__, []).append(index)
    return [
        Note("controller", tuple(ids), f"{kind}: kept for the export, but not run; only tap changers are regulated")
        for kind, ids in kinds.items()
    ]


def write_back(net: Any, table: Table) -> None:
    """Give the controllers of a net the targets that the table has now."""
    for index in np.unique(table["controller"]):
        mine = np.flatnonzero(table["controller"] == index)
        controller = net.controller.object.at[index]
        net.controller.loc[index, "in_service"] = bool(table["in_service"][mine].any())
        single = not np.ndim(controller.element_index)
        targets = {name: table[name][mine] for name in _TARGETS}
        if table["continuous"][mine[0]]:
            controller.vm_set_pu = float(targets["vm_set_pu"][0]) if single else targets["vm_set_pu"]
            continue
        lower, upper = targets["vm_lower_pu"], targets["vm_upper_pu"]
        if not (np.allclose(lower, controller.vm_lower_pu) and np.allclose(upper, controller.vm_upper_pu)):
            controller.vm_set_pu = None  # a band that was derived from a set-point is now one of its own
        controller.vm_lower_pu, controller.vm_upper_pu = (float(lower[0]), float(upper[0])) if single else (lower, upper)


def _ours(net: Any) -> Iterator[int]:
    if "controller" not in net or not len(net.controller):
        return
    for index, controller in net.controller.object.items():
        if type(controller).__name__ in _KINDS:
            yield int(index)


def _rows(entry: Any, index: int) -> Iterator[tuple[Any, ...]]:
    controller = entry.object
    continuous = type(controller).__name__ == "ContinuousTapControl"
    ids = np.atleast_1d(controller.element_index)
    given = (np.nan, np.nan, controller.vm_set_pu) if continuous else (controller.vm_lower_pu, controller.vm_upper_pu, np.nan)
    targets = [np.broadcast_to(np.asarray(value, dtype=np.float64), len(ids)) for value in given]
    for i, element_index in enumerate(ids.tolist()):
        yield (
            str(controller.element), int(element_index), str(controller.side), continuous,
            *(float(values[i]) for values in targets), bool(getattr(controller, "check_tap_bounds", True)),
            float(np.atleast_1d(entry.level)[0]), bool(entry.in_service), index,
        )  # fmt: skip
