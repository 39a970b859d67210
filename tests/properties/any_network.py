"""Random pandapower networks in which everything that a load flow knows may stand, in service or not.

Three voltage levels with lines, transformers of every kind of tap changer, perhaps a three-winding one and a phase shifter
in a ring, switches of every kind, and every element at any bus. Left out is what pandapower and this project read in two
ways, so that a difference is a fault: voltage-dependent loads of unequal shares at buses that a switch joins (pandapower
takes those of one of the buses), slacks behind transformers that turn the phase (two solutions).
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import pandapower as pp

_SIZE_MW = {110.0: 8.0, 20.0: 1.0, 10.0: 1.0, 0.4: 0.02}
_LINES = {
    110.0: {"r_ohm_per_km": 0.06, "x_ohm_per_km": 0.4, "c_nf_per_km": 9.0, "max_i_ka": 0.6},
    20.0: {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.12, "c_nf_per_km": 250.0, "max_i_ka": 0.3},
    0.4: {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.08, "c_nf_per_km": 200.0, "max_i_ka": 0.27},
}
_LENGTH_KM = {110.0: (1.0, 30.0), 20.0: (0.1, 4.0), 0.4: (0.02, 0.2)}
_SHARES = ("const_z_p_percent", "const_i_p_percent", "const_z_q_percent", "const_i_q_percent")
_TAPS = {"tap_neutral": 0, "tap_min": -9, "tap_max": 9}


class _Maker:
    """A network while it grows."""

    def __init__(self, random: Random) -> None:
        self.r = random
        self.net = pp.create_empty_network(sn_mva=random.choice([1.0, 10.0, 100.0]), f_hz=random.choice([50.0, 60.0]))
        self.shift = random.choice([0.0, 150.0, 330.0])
        self.joined = self.flip(0.5)  # whether switches without impedance may join buses
        self.follow = self.flip(0.5)  # whether loads follow the voltage
        self.levels: dict[float, list[int]] = {}
        self.held: dict[int, float] = {}

    def flip(self, share: float) -> bool:
        return self.r.random() < share

    def works(self) -> bool:
        return not self.flip(0.08)

    def bus(self, vn_kv: float) -> int:
        index = self.r.randrange(10**6) if self.flip(0.3) else None
        bus = int(pp.create_bus(self.net, vn_kv, index=index))
        self.levels.setdefault(vn_kv, []).append(bus)
        return bus

    def switch(self, bus: int, element: int, et: str, share: float) -> None:
        if self.flip(share):
            pp.create_switch(self.net, bus, element, et=et, closed=self.flip(0.6), in_ka=self.r.choice([float("nan"), 0.4]))

    def line(self, a: int, b: int, vn_kv: float) -> None:
        r = self.r
        line = pp.create_line_from_parameters(
            self.net, a, b, r.uniform(*_LENGTH_KM[vn_kv]), parallel=r.choice([1, 1, 2]), df=r.choice([1.0, 0.8]),
            g_us_per_km=r.choice([0.0, 1.0]), in_service=self.works(), **_LINES[vn_kv],
        )  # fmt: skip
        for end in (a, b):
            self.switch(end, line, "l", 0.15)

    def taps(self, sides: tuple[str, ...]) -> dict[str, Any]:
        r = self.r
        if self.flip(0.4):
            return {}
        percent, degree = r.choice([(1.25, 0.0), (1.5, 2.0)])
        kind = r.choice(["Ratio", "Symmetrical", "Ideal", None])
        if kind == "Ideal":
            percent, degree = r.choice([(1.0, 0.0), (0.0, 2.0)])
        return _TAPS | {
            "tap_side": r.choice(sides), "tap_pos": r.randint(-4, 4), "tap_changer_type": kind, "tap_step_percent": percent,
            "tap_step_degree": degree,
        }  # fmt: skip

    def trafo(self, hv: int, lv: int, numbers: tuple[float, ...], shift: float) -> None:
        trafo = pp.create_transformer_from_parameters(
            self.net, hv, lv, *numbers, shift_degree=shift, parallel=self.r.choice([1, 1, 2]), df=self.r.choice([1.0, 0.9]),
            in_service=self.works(), **self.taps(("hv", "lv")),
        )  # fmt: skip
        for end in (hv, lv):
            self.switch(end, trafo, "t", 0.12)

    def trafo3w(self) -> None:
        buses = (self.levels[110.0][0], self.bus(20.0), self.bus(10.0))
        taps = self.taps(("hv", "mv", "lv"))
        if taps.get("tap_changer_type") != "Ideal":  # pandapower refuses it there
            taps["tap_at_star_point"] = self.flip(0.4)
        trafo = pp.create_transformer3w_from_parameters(
            self.net, *buses, 110.0, 20.0, 10.0, 40.0, 25.0, 15.0, 10.4, 10.4, 10.4, 0.28, 0.31, 0.35, 30.0, 0.1,
            shift_mv_degree=30.0, shift_lv_degree=150.0, in_service=self.works(), **taps,
        )  # fmt: skip
        for end in buses:
            self.switch(end, trafo, "t3", 0.12)

    def branches(self) -> None:
        r = self.r
        for vn_kv, most in ((110.0, 4), (20.0, 5), (0.4, 4)):
            buses = [self.bus(vn_kv) for _ in range(r.randint(1, most))]
            for k in range(1, len(buses)):
                if self.flip(0.85):
                    self.line(buses[r.randrange(k)], buses[k], vn_kv)
            for _ in range(r.randint(0, 2) if len(buses) > 1 else 0):
                self.line(*r.sample(buses, 2), vn_kv)
        high, middle, low = (list(self.levels[vn_kv]) for vn_kv in (110.0, 20.0, 0.4))
        for _ in range(r.randint(1, 2)):
            numbers = (r.choice([25.0, 40.0]), 110.0, r.choice([20.0, 21.0]), 0.4, 12.0, 14.0, 0.07)
            self.trafo(r.choice(high), r.choice(middle), numbers, self.shift)
        for _ in range(r.randint(0, 2)):
            self.trafo(r.choice(middle), r.choice(low), (0.4, 20.0, 0.4, 1.4, 6.0, 1.35, 0.3), 150.0)
        if self.flip(0.4):
            self.trafo3w()
        if self.flip(0.3):
            a, b = r.choice(high), self.bus(110.0)
            self.line(a, b, 110.0)
            self.trafo(a, b, (100.0, 110.0, 110.0, 0.2, 10.0, 0.0, 0.0), r.choice([0.0, 5.0, -8.0]))
        if self.flip(0.4) and len(high) > 1:
            ways = {} if self.flip(0.5) else {"rtf_pu": 0.012, "xtf_pu": 0.06, "gf_pu": 0.001, "bf_pu": 0.002, "bt_pu": 0.003}
            pp.create_impedance(self.net, *r.sample(high, 2), 0.01, 0.05, 50.0, in_service=self.works(), **ways)
        for _ in range(r.randint(0, 4)):
            vn_kv = r.choice([110.0, 20.0, 0.4])
            a = r.choice(self.levels[vn_kv])
            b = self.bus(vn_kv) if self.flip(0.6) else r.choice(self.levels[vn_kv])
            if a != b:
                z_ohm = 0.0 if self.joined and self.flip(0.75) else 0.05 if vn_kv < 1 else 0.5
                pp.create_switch(self.net, a, b, et="b", closed=self.flip(0.75), z_ohm=z_ohm)

    def injections(self) -> None:
        r = self.r
        alike = [r.choice([0.0, 20.0, 50.0]), r.choice([0.0, 30.0]), r.choice([0.0, 40.0]), r.choice([0.0, 60.0])]
        for bus in self.net.bus.index.tolist():
            for share in (0.5, 0.15):
                if self.flip(share):
                    self.load(bus, alike if self.joined else [r.choice([0.0, 20.0, 50.0]) for _ in _SHARES])
            self.others(bus)

    def some(self, bus: int, low: float, high: float) -> float:
        return self.r.uniform(low, high) * _SIZE_MW[self.net.bus.vn_kv.at[bus]]

    def load(self, bus: int, shares: list[float]) -> None:
        follow = dict(zip(_SHARES, shares, strict=True)) if self.follow else {}
        p_mw, q_mvar = self.some(bus, 0, 1), self.some(bus, -0.2, 0.4)
        pp.create_load(
            self.net, bus, p_mw, q_mvar, scaling=self.r.choice([1.0, 0.6]), in_service=self.works(), **follow
        )  # fmt: skip

    def others(self, bus: int) -> None:
        r, net, vn_kv = self.r, self.net, float(self.net.bus.vn_kv.at[bus])
        some, z_ohm = partial(self.some, bus), vn_kv**2 / _SIZE_MW[vn_kv]
        ward = (some(0, 0.3), some(-0.1, 0.1), some(0, 0.2), some(-0.1, 0.1))
        phases = tuple(some(0, 0.1) for _ in range(6))
        makers = (
            (0.2, lambda: pp.create_sgen(net, bus, some(0, 1), some(-0.2, 0.2), scaling=r.choice([1.0, 0.5]))),
            (0.1, lambda: pp.create_storage(net, bus, some(-0.5, 0.5), 1.0, q_mvar=some(-0.1, 0.1), scaling=0.5)),
            (0.1, lambda: pp.create_motor(net, bus, some(0, 0.4), 0.87, efficiency_percent=r.uniform(85, 100),
                                          loading_percent=80.0, scaling=0.7, cos_phi_n=0.9, efficiency_n_percent=95.0)),
            (0.1, lambda: pp.create_shunt(net, bus, some(-0.3, 0.3), some(0, 0.02), vn_kv=r.choice([None, vn_kv * 1.05]),
                                          step=r.choice([0, 1, 2]), max_step=2)),
            (0.1, lambda: pp.create_ward(net, bus, *ward)),
            (0.1, lambda: pp.create_xward(net, bus, *ward, 0.005 * z_ohm, r.uniform(0.03, 0.1) * z_ohm, 1.0,
                                          slack_weight=r.choice([0.0, 1.0]))),
            (0.1, lambda: pp.create_asymmetric_load(net, bus, *phases, scaling=0.5)),
            (0.1, lambda: pp.create_asymmetric_sgen(net, bus, *phases)),
        )  # fmt: skip
        for share, make in makers:
            if self.flip(share):
                make()

    def sources(self) -> None:
        r, net = self.r, self.net
        high, both = self.levels[110.0], self.levels[110.0] + self.levels[20.0]

        def held(bus: int) -> float:
            return self.held.setdefault(bus, round(r.uniform(0.98, 1.03), 3))

        for _ in range(r.randint(0, 3)):
            bus = r.choice(both)
            size = _SIZE_MW[net.bus.vn_kv.at[bus]]
            limits = {} if self.flip(0.4) else {"min_q_mvar": -0.3 * size, "max_q_mvar": r.choice([0.2, 3.0]) * size}
            slack = self.flip(0.15) and bus in high
            pp.create_gen(
                net, bus, r.uniform(0, size), vm_pu=held(bus), scaling=r.choice([1.0, 0.7]), slack=slack,
                slack_weight=r.choice([0.0, 1.0, 2.0]), **limits,
            )  # fmt: skip
        connections = r.choice([1, 1, 1, 2, 3])
        turned = r.choice([0.0, 20.0]) if connections == 1 and not net.gen.slack.any() else 0.0
        for _ in range(connections):
            bus = r.choice(high)
            pp.create_ext_grid(net, bus, vm_pu=held(bus), va_degree=turned, in_service=self.works())
        if self.flip(0.3):
            a, b = r.sample(both, 2) if len(both) > 1 else (both[0], self.bus(20.0))
            pp.create_dcline(net, a, b, r.uniform(-1, 1), r.choice([0.0, 2.0]), 0.01, held(a), held(b), max_q_from_mvar=8.0)

    def switch_off(self) -> None:
        for name in (
            "sgen",
            "storage",
            "motor",
            "shunt",
            "ward",
            "xward",
            "asymmetric_load",
            "asymmetric_sgen",
            "gen",
            "dcline",
        ):
            table = self.net[name]
            for index in table.index:
                if not self.works():
                    table.loc[index, "in_service"] = False
        for bus in self.net.bus.index:
            if self.flip(0.05):
                self.net.bus.loc[bus, "in_service"] = False


def any_network(seed: int) -> Any:
    """A pandapower net, the same for the same seed; its own load flow need not solve it."""
    maker = _Maker(Random(seed))
    for grow in (maker.branches, maker.injections, maker.sources, maker.switch_off):
        grow()
    return maker.net
