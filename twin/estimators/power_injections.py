"""What each bus is expected to inject, and what an estimate of it means for the elements behind it.

A bus injects the sum of its elements. What a meter tells of one is taken with the meter's sigma; of the others, the nominal
power scaled by what the metered ones of their kind draw now, with a wide sigma (pseudo-measurement); of a bus without
elements, zero with a narrow one. What the estimate moves at a bus is spread over its elements by their share of the variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch
from grid_models.power.network import PowerNetwork
from solvers.power.estimation import Estimate
from solvers.power.estimation_plan import Meters
from solvers.power.measurement_functions import Kind
from twin.estimators import InForce
from twin.estimators.power_points import ADJUSTED, Points

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Index = NDArray[np.int64]

# A pseudo-measurement's sigma: share of the value expected now, plus share of the nominal value.
_PSEUDO_SHARE, _PSEUDO_FLOOR = 0.3, 0.02
# A bus without elements injects nothing; a kilowatt keeps the gain matrix well conditioned beside meters of 1 %: with a tenth
# of it and few meters a pivot falls to 1e-13 of its diagonal, which counts as none.
ZERO_SIGMA_MW = 1e-3


@dataclass(frozen=True, eq=False)
class Expected:
    """Prior power of every adjusted element, in the element's own direction.

    Args:
        power: element -> (n,) [MVA].
        sigma_p, sigma_q: element -> (n,) [MW], [Mvar].
        metered: element -> (n,) whether its active power is.
    """

    power: dict[str, Complex]
    sigma_p: dict[str, Floats]
    sigma_q: dict[str, Floats]
    metered: dict[str, NDArray[np.bool_]]


class Injections:
    """The elements whose power an estimate may move, behind the buses of any topology.

    Args:
        model: the network.
        points: its meters.
    """

    def __init__(self, model: PowerNetwork, points: Points) -> None:
        self.model, self._points = model, points

    def expected(self, measured: InForce) -> Expected:
        """What every element should draw or feed in now."""
        power: dict[str, Complex] = {}
        sigma_p: dict[str, Floats] = {}
        sigma_q: dict[str, Floats] = {}
        is_metered: dict[str, NDArray[np.bool_]] = {}
        p = self._points
        value, known, sigma = measured.of(p.element_uid)
        known &= np.isfinite(sigma)
        for position, element in enumerate(ADJUSTED):
            if element not in self.model.tables:
                continue
            table = self.model.tables[element]
            nominal = (table["p_mw"] + 1j * table["q_mvar"]) * table.column("scaling", 1.0)
            nominal = nominal * self.model.in_service(element)
            mine = (p.element_table == position) & known
            active, reactive = mine & ~p.element_reactive, mine & p.element_reactive
            ratio = _ratio(value[active], nominal.real[p.element_row[active]])
            now = nominal * ratio
            width = _PSEUDO_SHARE * np.abs(now) + _PSEUDO_FLOOR * np.abs(nominal) + ZERO_SIGMA_MW
            p_now, q_now, wide_p, wide_q = now.real.copy(), now.imag.copy(), width.copy(), width.copy()
            p_now[p.element_row[active]], wide_p[p.element_row[active]] = value[active], sigma[active]
            q_now[p.element_row[reactive]], wide_q[p.element_row[reactive]] = value[reactive], sigma[reactive]
            power[element], sigma_p[element], sigma_q[element] = p_now + 1j * q_now, wide_p, wide_q
            is_metered[element] = np.zeros(table.size, dtype=bool)
            is_metered[element][p.element_row[active]] = True
        return Expected(power, sigma_p, sigma_q, is_metered)

    def at_buses(self, model: BusBranch, expected: Expected) -> tuple[Complex, Floats, Floats, NDArray[np.bool_]]:
        """(n_bus,) injected MW and Mvar, their sigmas, and whether anything is connected at all."""
        fixed = model.s_power * model.sn_mva - self._adjusted_part(model, None)
        total = fixed + self._adjusted_part(model, expected.power)
        variance = np.zeros((2, model.n_bus))
        connected = np.abs(fixed) > 0
        for element in expected.power:
            bus = model.node_bus[self.model.node_of(self.model.tables[element]["bus"])]
            live = (bus >= 0) & self.model.in_service(element)
            np.add.at(variance[0], bus[live], expected.sigma_p[element][live] ** 2)
            np.add.at(variance[1], bus[live], expected.sigma_q[element][live] ** 2)
            connected[bus[live]] = True
        spread = 0.1 * np.abs(fixed)
        sigma = np.sqrt(variance + spread**2 + ZERO_SIGMA_MW**2)
        return total, sigma[0], sigma[1], connected

    def _adjusted_part(self, model: BusBranch, power: Mapping[str, Complex] | None) -> Complex:
        """(n_bus,) what the adjusted elements inject [MVA], at the given or at nominal power."""
        out = np.zeros(model.n_bus, dtype=np.complex128)
        for element in ADJUSTED:
            if element in self.model.tables:
                table = self.model.tables[element]
                nominal = (table["p_mw"] + 1j * table["q_mvar"]) * table.column("scaling", 1.0)
                value = nominal if power is None else power[element]
                bus = model.node_bus[self.model.node_of(table["bus"])]
                live = (bus >= 0) & self.model.in_service(element)
                np.add.at(out, bus[live], (1.0 if element == "sgen" else -1.0) * value[live])
        return out

    def spread(self, model: BusBranch, expected: Expected, meters: Meters, found: Estimate) -> dict[str, Complex]:
        """The adjusted elements' powers after the estimate [MVA], summing to the estimated injections."""
        n_bus, sn = model.n_bus, self.model.sn_mva
        moved, total = np.zeros(n_bus, dtype=np.complex128), np.zeros((2, n_bus))
        injection = meters.place < n_bus
        for kind, unit in ((Kind.P, 1.0), (Kind.Q, 1.0j)):
            mine = injection & (meters.kind == kind)
            moved[meters.place[mine]] += unit * (found.reading - meters.value)[mine] * sn
        shares: dict[str, tuple[Index, NDArray[np.bool_], Floats, Floats]] = {}
        for element in expected.power:
            bus = model.node_bus[self.model.node_of(self.model.tables[element]["bus"])]
            live = (bus >= 0) & self.model.in_service(element)
            variance = expected.sigma_p[element] ** 2, expected.sigma_q[element] ** 2
            shares[element] = (bus, live, *variance)
            for axis in (0, 1):
                np.add.at(total[axis], bus[live], variance[axis][live])
        out: dict[str, Complex] = {}
        for element, (bus, live, variance_p, variance_q) in shares.items():
            sign = 1.0 if element == "sgen" else -1.0
            share_p = variance_p / np.where(live, total[0][bus], 1.0)
            share_q = variance_q / np.where(live, total[1][bus], 1.0)
            step = share_p * moved[bus].real + 1j * share_q * moved[bus].imag
            out[element] = np.where(live, expected.power[element] + sign * step, 0.0)
        return out


def _ratio(value: Floats, nominal: Floats) -> float:
    """What metered elements draw now over what they draw nominally; the median, so that one large one counts once."""
    some = np.abs(nominal) > 1e-9
    return float(np.median(value[some] / nominal[some])) if some.any() else 1.0
