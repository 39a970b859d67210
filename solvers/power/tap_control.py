"""Tap changers in the loop: transformers that move their taps until the voltages they watch are where they should be.

A stepped changer keeps the voltage V of the bus at one of its sides inside a band, one step a round, as a real one does:

    p := p + sigma   where V < lower,     p := p - sigma   where V > upper,     min <= p <= max,

with sigma = +1 where a higher position raises V and -1 where it lowers it: a changer raises the voltage of its own side
and lowers that of the others. A continuous one holds V at a set-point by the secant

    p := p + (V_set - V) / s,     s = (V - V_before) / (p - p_before), at first the step of the changer,

inside the same range unless it is unbounded. After each round the network is solved again from the voltages before; only
the admittances have changed. Levels are run one after the other, as pandapower runs its controllers.

Reference: P. Kundur, "Power System Stability and Control" (1994), ch. 6.7 and 11.2.3; pandapower's `DiscreteTapControl`
and `ContinuousTapControl`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.power.network import PowerNetwork
from grid_models.power.taps import by_table, positions, retap
from grid_models.tables import Table
from solvers.power.newton import LoadFlow
from solvers.solution import Solution, Status

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Solve = Callable[[PowerNetwork, LoadFlow | None], Solution[LoadFlow]]

_ELEMENTS = ("trafo", "trafo3w")
_HELD_PU = 1e-8
_MOST_ROUNDS = 300
# A stepped changer that turns back so often has no position inside its band.
_MOST_TURNS = 4


@dataclass(frozen=True, eq=False)
class _Changers:
    """The changers of one level.

    Args:
        element: (n,) `trafo` or `trafo3w`.
        row: (n,) in that table.
        node: (n,) where the voltage is watched.
        raises: (n,) +1 where a higher position raises that voltage, else -1.
        step_pu: (n,) of the changer.
        lowest, highest: (n,) positions; infinite where unbounded.
        continuous: (n,) whether it has a set-point rather than a band.
        v_low, v_high: (n,) the band; both the set-point where continuous [pu].
    """

    element: NDArray[np.str_]
    row: NDArray[np.int64]
    node: NDArray[np.int64]
    raises: FloatArray
    step_pu: FloatArray
    lowest: FloatArray
    highest: FloatArray
    continuous: BoolArray
    v_low: FloatArray
    v_high: FloatArray

    def names(self, network: PowerNetwork, which: BoolArray) -> tuple[str, ...]:
        """Such as "trafo 7"."""
        at = np.flatnonzero(which)
        return tuple(f"{self.element[i]} {network.tables[str(self.element[i])].index[self.row[i]]}" for i in at)


def with_tap_control(network: PowerNetwork, solve: Solve) -> tuple[Solution[LoadFlow], PowerNetwork]:
    """Solve a network whose tap changers regulate.

    Args:
        network: with a table `tap_control` (pandapower's tap controllers are read into one).
        solve: of a network, and of a solution to start from.

    Returns:
        The last solution, and the network with its taps where they have come to rest. Statuses beside those of `solve`:
        TAP_LIMITED, solved, with the changers whose range ends before their voltage is held; TAPS_HUNT with those that
        move to and fro. `stats.extra["tap_rounds"]` counts the solves.

    Raises:
        InvalidInput: nothing is regulated, or changers that cannot regulate; all at once.

    >>> import pandapower as pp
    >>> from grid_models.formats.pandapower import from_pandapower
    >>> from pandapower.control import DiscreteTapControl
    >>> from pandapower.networks import mv_oberrhein
    >>> from solvers.power.load_flow import load_flow
    >>> net = mv_oberrhein()
    >>> _ = DiscreteTapControl(net, 114, 1.01, 1.03)
    >>> solution, moved = with_tap_control(from_pandapower(net), lambda network, start: load_flow(network))
    >>> solution.status.name, moved.tables["trafo"]["tap_pos"].tolist()
    ('SOLVED', [-2.0, -3.0])
    """
    levels = _levels(network)
    solution = solve(network, None)
    rounds = 1
    limited: tuple[str, ...] = ()
    for changers in levels:
        if not solution.status.usable:
            break
        solution, network, spent, stuck = _regulate(network, changers, solution, solve)
        rounds += spent
        limited += changers.names(network, stuck)
    solution = replace(solution, stats=replace(solution.stats, extra={**solution.stats.extra, "tap_rounds": rounds}))
    if limited and solution.status is Status.SOLVED:
        solution = replace(solution, status=Status.TAP_LIMITED, culprits=limited)
    return solution, network


def _regulate(
    network: PowerNetwork, changers: _Changers, solution: Solution[LoadFlow], solve: Solve
) -> tuple[Solution[LoadFlow], PowerNetwork, int, BoolArray]:
    """Move the changers of one level; also the rounds spent, and (n,) which could not hold their voltage."""
    position = _now(network, changers)
    slope = changers.raises * changers.step_pu
    last_move = np.zeros(len(position))
    turns = np.zeros(len(position), dtype=np.int64)
    vm = _watched(changers, solution.value)
    for round_ in range(_MOST_ROUNDS):
        wanted = np.where(changers.continuous, _secant(changers, vm, slope), _steps(changers, vm))
        wanted[~(vm > 0)] = 0.0
        free = np.where(wanted > 0, position < changers.highest, position > changers.lowest)
        reached = np.clip(position + wanted, changers.lowest, changers.highest)
        move = np.where(changers.continuous, reached - position, wanted * free)
        if not np.any(move):
            return solution, network, round_, wanted != 0
        turns += ~changers.continuous & (move * last_move < 0)
        hunting = turns > _MOST_TURNS
        if hunting.any():
            culprits = changers.names(network, hunting)
            return replace(solution, status=Status.TAPS_HUNT, culprits=culprits), network, round_, hunting
        position = position + move
        network = _placed(network, changers, position, move != 0)
        solution = solve(network, solution.value)
        if not solution.status.usable:
            return solution, network, round_ + 1, hunting
        before, vm = vm, _watched(changers, solution.value)
        slope = _slopes(changers, slope, move, vm - before)
        last_move = np.where(move != 0, move, last_move)
    missed = changers.continuous & (np.abs(changers.v_low - vm) > _HELD_PU)
    return replace(solution, status=Status.TAPS_HUNT, culprits=changers.names(network, missed)), network, _MOST_ROUNDS, missed


def _steps(changers: _Changers, vm: FloatArray) -> FloatArray:
    """(n,) one step toward the band, 0 inside it."""
    return changers.raises * ((vm <= changers.v_low).astype(np.float64) - (vm >= changers.v_high))


def _secant(changers: _Changers, vm: FloatArray, slope: FloatArray) -> FloatArray:
    """(n,) the way to the set-point, 0 where it is held."""
    left = changers.v_low - vm
    return np.divide(left, slope, out=np.zeros_like(left), where=(np.abs(left) > _HELD_PU) & (slope != 0))


def _slopes(changers: _Changers, slope: FloatArray, move: FloatArray, change: FloatArray) -> FloatArray:
    """(n,) dV/dp as it was seen, of the sign it must have and within a tenth and ten times the changer's own step."""
    seen = changers.raises * np.divide(change, move, out=np.abs(slope).copy(), where=np.abs(move) > 1e-9)
    return changers.raises * np.clip(np.nan_to_num(seen), 0.1 * changers.step_pu, 10.0 * changers.step_pu)


def _watched(changers: _Changers, flow: LoadFlow) -> FloatArray:
    """(n,) |V| where each changer looks; nan where dead."""
    bus = flow.model.node_bus[changers.node]
    return np.where(bus >= 0, np.abs(np.append(flow.v, np.nan)[bus]), np.nan)


def _now(network: PowerNetwork, changers: _Changers) -> FloatArray:
    position = np.zeros(len(changers.row))
    for element in _ELEMENTS:
        mine = changers.element == element
        if mine.any():
            position[mine] = positions(network.tables[element], changers.row[mine])
    return position


def _placed(network: PowerNetwork, changers: _Changers, position: FloatArray, moved: BoolArray) -> PowerNetwork:
    for element in _ELEMENTS:
        mine = moved & (changers.element == element)
        if mine.any():
            network = retap(network, element, changers.row[mine], position[mine])
    return network


def _levels(network: PowerNetwork) -> list[_Changers]:
    """What regulates, in the order in which it does."""
    table = network.tables.get("tap_control")
    rows = np.zeros(0, dtype=np.int64) if table is None else np.flatnonzero(table["in_service"].astype(bool))
    if table is None or not len(rows):
        message = "no tap changer regulates: the network has no DiscreteTapControl or ContinuousTapControl in service"
        raise InvalidInput([Issue("tap_control", "", (), message)])
    rows = rows[[_at_work(network, table, row) for row in rows.tolist()]]
    issues = [issue for row in rows.tolist() for issue in _faults(network, table, row)]
    if issues:
        raise InvalidInput(issues)
    return [_changers(network, table, rows[table["level"][rows] == level]) for level in np.unique(table["level"][rows])]


def _at_work(network: PowerNetwork, table: Table, row: int) -> bool:
    """Not where the transformer is out, nor where an external grid holds the voltage anyway."""
    element = str(table["element"][row])
    transformer = network.tables[element]
    at = transformer.rows([int(table["element_index"][row])])
    grids = network.tables.get("ext_grid")
    if not network.in_service(element)[at[0]]:
        return False
    bus = transformer[f"{table['side'][row]}_bus"][at[0]]
    return grids is None or bus not in grids["bus"][network.in_service("ext_grid")]


def _faults(network: PowerNetwork, table: Table, row: int) -> list[Issue]:
    element, name = str(table["element"][row]), int(table["element_index"][row])
    transformer = network.tables[element]
    at = transformer.rows([name])

    def cell(column: str) -> float:
        return float(np.asarray(transformer.column(column, np.nan)[at], dtype=np.float64)[0])

    sides = ("hv", "lv") if element == "trafo" else ("hv", "mv", "lv")
    kind, tabled = str(transformer.column("tap_changer_type", "")[at][0]), bool(by_table(transformer, at)[0])
    faults = [
        ("tap_side", str(transformer.column("tap_side", "")[at][0]) not in sides, f"must be {' or '.join(sides)} to regulate"),
        (
            "tap_changer_type",
            kind not in ("Ratio", "Symmetrical", "Tabular"),
            "must be Ratio, Symmetrical or Tabular to regulate",
        ),
        ("tap_pos", not np.isfinite(positions(transformer, at)[0]), "is missing, and so is the neutral position"),
        ("tap_min", not cell("tap_min") <= cell("tap_max"), "needs a range of positions, tap_min to tap_max"),
        ("tap_step_percent", not tabled and not abs(cell("tap_step_percent")) > 0, "must not be zero to regulate"),
        ("tap_dependency_table", tabled and bool(table["continuous"][row]), "has steps and cannot be moved continuously"),
    ]
    return [Issue(element, column, (name,), message) for column, wrong, message in faults if wrong]


def _changers(network: PowerNetwork, table: Table, rows: NDArray[np.int64]) -> _Changers:
    element = table["element"][rows].astype(str)
    row = np.array([network.tables[e].rows([int(i)])[0] for e, i in zip(element, table["element_index"][rows], strict=True)])
    side = table["side"][rows].astype(str)

    def cells(column: str) -> NDArray[np.object_]:
        of = [network.tables[e].column(column, np.nan)[r] for e, r in zip(element, row, strict=True)]
        return np.array(of, dtype=object)

    continuous = table["continuous"][rows].astype(bool)
    step = np.nan_to_num(cells("tap_step_percent").astype(np.float64)) / 100.0
    turned = np.cos(np.deg2rad(np.nan_to_num(cells("tap_step_degree").astype(np.float64))))
    own_side = (cells("tap_side").astype(str) == "hv") == (side == "hv")
    sign = np.where(own_side, 1.0, -1.0) * np.where(step < 0, -1.0, 1.0) * np.where(turned < -1e-12, -1.0, 1.0)
    bounded = ~continuous | table["bounded"][rows].astype(bool)
    bus = [network.tables[e][f"{s}_bus"][r] for e, s, r in zip(element, side, row, strict=True)]
    return _Changers(
        element=element,
        row=row,
        node=network.node_of(np.array(bus)),
        raises=sign,
        step_pu=np.abs(step),
        lowest=np.where(bounded, cells("tap_min").astype(np.float64), -np.inf),
        highest=np.where(bounded, cells("tap_max").astype(np.float64), np.inf),
        continuous=continuous,
        v_low=np.where(continuous, table["vm_set_pu"][rows], table["vm_lower_pu"][rows]),
        v_high=np.where(continuous, table["vm_set_pu"][rows], table["vm_upper_pu"][rows]),
    )
