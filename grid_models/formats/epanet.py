"""Reading EPANET .inp files with EPANET's own parser (owa-epanet); the network is opened, never solved.

The toolkit answers in the file's own units; everything leaves here in SI (`grid_models.water.units`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.epanet_controls import curve_units, read_controls, read_rules, setting_unit
from grid_models.formats.epanet_project import opened, units_of
from grid_models.formats.epanet_text import InpText
from grid_models.tables import Table, frozen
from grid_models.water.network import LinkKind, Options, WaterNetwork
from grid_models.water.units import KW_PER_HP, VISCOSITY_M2_PER_S
from grid_models.water.validation import VALVE_CURVE, validate, validate_options

HEADLOSS = ("H-W", "D-W", "C-M")
STATISTIC = ("none", "averaged", "minimum", "maximum", "range")
CURVE_KIND = ("volume", "head", "efficiency", "headloss", "generic", "valve")  # EPANET's numbers 0..5
_PIPE_KINDS = (LinkKind.CHECK_VALVE, LinkKind.PIPE)
_STATUS = {0: "closed", 1: "open", 2: "active"}


def read_inp(path: str | Path) -> WaterNetwork:
    """Read an .inp file (EPANET 2.0 to 2.3, UTF-8 or Windows-1252).

    Args:
        path: the file.

    Returns:
        The network in SI; water quality is left out but kept for export (`source`).

    Raises:
        InvalidInput: every fault found, each with section and line.
        OSError: the file cannot be read.
    """
    path = Path(path)
    return read_text(InpText.decode(path.read_bytes(), str(path)), name=path.stem)


def read_text(text: InpText, name: str) -> WaterNetwork:
    r"""As `read_inp`, from text that is already in memory.

    >>> tiny = "[RESERVOIRS]\nR 50\n[JUNCTIONS]\nJ 10 2\n[PIPES]\nP R J 100 200 130\n[OPTIONS]\nUNITS LPS"
    >>> read_text(InpText(tiny + "\n[END]"), "tiny").tables["pipe"]["diameter_m"]
    array([0.2])
    """
    issues = text.issues()
    if issues:
        raise InvalidInput(issues)
    with opened(text) as project, np.errstate(over="ignore", invalid="ignore"):  # validation names what overflowed
        reader = _Reader(project)
        options = reader.options()
        _refuse(validate_options(options), text)
        network = reader.network(name, options, text.text)
    _refuse(validate(network), text)
    return network


def _refuse(issues: Iterable[Issue], text: InpText) -> None:
    located = [_located(issue, text) for issue in issues]
    if located:
        raise InvalidInput(located)


_SECTION_OF = {
    "junction": "JUNCTIONS",
    "demand": "DEMANDS",
    "reservoir": "RESERVOIRS",
    "tank": "TANKS",
    "pipe": "PIPES",
    "pump": "PUMPS",
    "valve": "VALVES",
    "pattern": "PATTERNS",
    "curve": "CURVES",
    "control": "CONTROLS",
    "rule": "RULES",
}


def _located(issue: Issue, text: InpText) -> Issue:
    """The same issue with the section and line in which its first element is defined."""
    section = _SECTION_OF.get(issue.component, issue.component.upper())
    line = text.line_of(section, str(issue.ids[0]) if issue.ids else "")
    return Issue(f"[{section}]", issue.field, issue.ids, issue.message, file=text.file, line=line)


class _Reader:
    """One open project on its way into tables."""

    def __init__(self, project: Any) -> None:
        from epanet import toolkit as en

        self.en, self.project = en, project
        self.units, self.flow_unit, self.pressure_unit = units_of(project)
        self.n_node, self.n_link = en.getcount(project, en.NODECOUNT), en.getcount(project, en.LINKCOUNT)
        self.node_ids = [en.getnodeid(project, i + 1) for i in range(self.n_node)]
        self.link_ids = [en.getlinkid(project, i + 1) for i in range(self.n_link)]
        self.node_type = np.array([en.getnodetype(project, i + 1) for i in range(self.n_node)], dtype=np.int64)
        self.link_kind = np.array([en.getlinktype(project, i + 1) for i in range(self.n_link)], dtype=np.int64)
        self.pattern_ids = ["", *self._ids(en.PATCOUNT, en.getpatternid)]
        self.curve_ids = ["", *self._ids(en.CURVECOUNT, en.getcurveid)]
        self.ends = [en.getlinknodes(project, i + 1) for i in range(self.n_link)]
        self._cache: dict[tuple[str, int], NDArray[np.float64]] = {}

    def network(self, name: str, options: Options, source: str) -> WaterNetwork:
        tables = {
            "junction": self.junctions(options.emitter_exponent),
            "demand": self.demands(options.default_pattern),
            "reservoir": self.reservoirs(),
            "tank": self.tanks(),
            "pipe": self.pipes(options.headloss),
            "pump": self.pumps(),
            "valve": self.valves(),
            "pattern": self.patterns(),
        }
        tables["curve"] = self.curves(curve_uses(tables))
        controls = read_controls(self.project, self.units, self.node_ids, self.link_ids, self.link_kind)
        rules = read_rules(self.project, self.units, self.node_ids, self.link_ids, self.link_kind)
        return WaterNetwork(name, tables, options, controls, rules, source)

    # What the toolkit gives.

    def _ids(self, count: int, get: Callable[[Any, int], str]) -> list[str]:
        return [get(self.project, i + 1) for i in range(self.en.getcount(self.project, count))]

    def _node(self, which: NDArray[np.int64], prop: int) -> NDArray[np.float64]:
        return self._values("node", self.en.getnodevalues, self.n_node, prop)[which]

    def _link(self, which: NDArray[np.int64], prop: int) -> NDArray[np.float64]:
        return self._values("link", self.en.getlinkvalues, self.n_link, prop)[which]

    def _values(self, what: str, get: Callable[..., Any], count: int, prop: int) -> NDArray[np.float64]:
        if (what, prop) not in self._cache:
            buffer = self.en.doubleArray(count + 1)
            get(self.project, prop, buffer)
            self._cache[what, prop] = as_written([buffer[i] for i in range(count)])
        return self._cache[what, prop]

    def _one_by_one(self, which: NDArray[np.int64], prop: int) -> list[float]:
        """For properties that not every link has: asking for all of them would be refused."""
        return [self.en.getlinkvalue(self.project, int(i) + 1, prop) for i in which]

    # Tables.

    def _place(self, which: NDArray[np.int64], ids: Sequence[str]) -> tuple[Any, dict[str, Any]]:
        index = frozen(np.array([ids[i] for i in which], dtype=np.str_))
        return index, {"position": which}

    def _nodes(self, node_type: int) -> tuple[NDArray[np.int64], Any, dict[str, Any]]:
        which = np.flatnonzero(self.node_type == node_type)
        index, columns = self._place(which, self.node_ids)
        xy = np.array([self._coordinate(i) for i in which.tolist()]).reshape(-1, 2)
        return which, index, {**columns, "x": xy[:, 0], "y": xy[:, 1]}

    def _coordinate(self, node: int) -> tuple[float, float]:
        try:
            x, y = self.en.getcoord(self.project, node + 1)
        except Exception:  # noqa: BLE001 -- error 254 is how the toolkit says that the node has no coordinates
            return np.nan, np.nan
        return x, y

    def _links(self, *kinds: int) -> tuple[NDArray[np.int64], Any, dict[str, Any]]:
        which = np.flatnonzero(np.isin(self.link_kind, kinds))
        index, columns = self._place(which, self.link_ids)
        columns["from_node"] = _text([self.node_ids[self.ends[i][0] - 1] for i in which])
        columns["to_node"] = _text([self.node_ids[self.ends[i][1] - 1] for i in which])
        return which, index, columns

    def junctions(self, emitter_exponent: float) -> Table:
        en, u = self.en, self.units
        which, index, columns = self._nodes(en.JUNCTION)
        columns["elevation_m"] = self._node(which, en.ELEVATION) * u.length_m
        per_head = u.flow_m3_per_s / u.emitter_pressure_m**emitter_exponent
        columns["emitter_coefficient"] = self._node(which, en.EMITTER) * per_head
        return _table(index, columns)

    def demands(self, default_pattern: str) -> Table:
        """Every category of demand: the first bears its junction's id, the second `id/2`.

        EPANET lets a demand without a pattern follow the default pattern.
        """
        en, p, rows = self.en, self.project, []
        for i in np.flatnonzero(self.node_type == en.JUNCTION).tolist():
            node = self.node_ids[i]
            for k in range(1, en.getnumdemands(p, i + 1) + 1):
                pattern = self.pattern_ids[en.getdemandpattern(p, i + 1, k)] or default_pattern
                label = node if k == 1 else f"{node}/{k}"
                rows.append((label, node, en.getbasedemand(p, i + 1, k), pattern, en.getdemandname(p, i + 1, k)))
        label, node, base, pattern, category = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        columns = {
            "node": _text(node),
            "base_m3_per_s": as_written(base) * self.units.flow_m3_per_s,
            "pattern": _text(pattern),
            "category": _text(category),
        }
        return _table(np.array(label, dtype=np.str_), columns)

    def reservoirs(self) -> Table:
        which, index, columns = self._nodes(self.en.RESERVOIR)
        columns["head_m"] = self._node(which, self.en.ELEVATION) * self.units.length_m
        columns["pattern"] = self._named(self._node(which, self.en.PATTERN), self.pattern_ids)
        return _table(index, columns)

    def tanks(self) -> Table:
        en, u = self.en, self.units
        which, index, columns = self._nodes(en.TANK)
        columns["elevation_m"] = self._node(which, en.ELEVATION) * u.length_m
        columns["initial_level_m"] = self._node(which, en.TANKLEVEL) * u.length_m
        columns["minimum_level_m"] = self._node(which, en.MINLEVEL) * u.length_m
        columns["maximum_level_m"] = self._node(which, en.MAXLEVEL) * u.length_m
        columns["diameter_m"] = self._node(which, en.TANKDIAM) * u.length_m
        columns["minimum_volume_m3"] = self._node(which, en.MINVOLUME) * u.volume_m3
        columns["volume_curve"] = self._named(self._node(which, en.VOLCURVE), self.curve_ids)
        columns["can_overflow"] = self._node(which, en.CANOVERFLOW) != 0
        return _table(index, columns)

    def pipes(self, headloss: str) -> Table:
        en, u = self.en, self.units
        which, index, columns = self._links(*_PIPE_KINDS)
        columns["length_m"] = self._link(which, en.LENGTH) * u.length_m
        columns["diameter_m"] = self._link(which, en.DIAMETER) * u.diameter_m
        columns["roughness"] = self._link(which, en.ROUGHNESS) * (u.roughness_m if headloss == "D-W" else 1.0)
        columns["minor_loss"] = self._link(which, en.MINORLOSS)
        columns["status"] = self._status(which)
        columns["status"][self.link_kind[which] == LinkKind.CHECK_VALVE] = "check_valve"
        per_metre = 1e-6 / (100 * u.length_m)  # both are given in mm2 per 100 units of length
        columns["leak_area_m2_per_m"] = self._link(which, en.LEAK_AREA) * per_metre
        columns["leak_expansion_m2_per_m2"] = self._link(which, en.LEAK_EXPAN) * per_metre
        return _table(index, columns)

    def pumps(self) -> Table:
        en = self.en
        which, index, columns = self._links(LinkKind.PUMP)
        # The toolkit answers in hp whatever the file's units are.
        columns["power_w"] = as_written(self._one_by_one(which, en.PUMP_POWER)) * (1e3 * KW_PER_HP)
        columns["head_curve"] = self._named(self._one_by_one(which, en.PUMP_HCURVE), self.curve_ids)
        columns["speed"] = self._link(which, en.INITSETTING)
        closed = self._link(which, en.INITSTATUS) == 0
        columns["speed"][closed & (columns["speed"] == 0)] = 1.0  # what EPANET turns it on with
        columns["speed_pattern"] = self._named(self._one_by_one(which, en.LINKPATTERN), self.pattern_ids)
        columns["efficiency_curve"] = self._named(self._one_by_one(which, en.PUMP_ECURVE), self.curve_ids)
        columns["energy_price"] = np.array(self._one_by_one(which, en.PUMP_ECOST), dtype=float)
        columns["energy_price_pattern"] = self._named(self._one_by_one(which, en.PUMP_EPAT), self.pattern_ids)
        columns["status"] = self._status(which)
        return _table(index, columns)

    def valves(self) -> Table:
        en, u = self.en, self.units
        which, index, columns = self._links(*range(LinkKind.PRV, LinkKind.PCV + 1))
        kind = self.link_kind[which]
        curve = np.zeros(len(which))
        for code, prop in ((LinkKind.GPV, en.GPV_CURVE), (LinkKind.PCV, en.PCV_CURVE)):
            curve[kind == code] = self._one_by_one(which[kind == code], prop)
        columns["kind"] = _text([LinkKind(k).name for k in kind])
        columns["diameter_m"] = self._link(which, en.DIAMETER) * u.diameter_m
        scale = np.array([setting_unit(int(k), u) for k in kind])
        columns["setting"] = self._link(which, en.INITSETTING) * scale
        columns["setting"][kind == LinkKind.GPV] = np.nan  # its setting is its curve
        columns["minor_loss"] = self._link(which, en.MINORLOSS)
        columns["status"] = self._status(which)
        columns["status"][(kind == LinkKind.GPV) & (columns["status"] == "open")] = "active"
        columns["curve"] = self._named(curve, self.curve_ids)
        return _table(index, columns)

    def patterns(self) -> Table:
        en, p = self.en, self.project
        lengths = [en.getpatternlen(p, i) for i in range(1, len(self.pattern_ids))]
        multipliers = [np.array([en.getpatternvalue(p, i, k) for k in range(1, n + 1)]) for i, n in enumerate(lengths, start=1)]
        return _table(frozen(np.array(self.pattern_ids[1:], dtype=np.str_)), {"multipliers": _arrays(multipliers)})

    def curves(self, uses: dict[str, str]) -> Table:
        """Curves in the units of their use: EPANET itself finds a pump's curve only when it starts to solve."""
        en, p, xs, ys, kinds = self.en, self.project, [], [], []
        for i, label in enumerate(self.curve_ids[1:], start=1):
            points = np.array([en.getcurvevalue(p, i, k) for k in range(1, en.getcurvelen(p, i) + 1)]).reshape(-1, 2)
            kinds.append(uses.get(label, CURVE_KIND[en.getcurvetype(p, i)]))
            x_unit, y_unit = curve_units(kinds[-1], self.units)
            xs.append(points[:, 0] * x_unit)
            ys.append(points[:, 1] * y_unit)
        columns = {"kind": _text(kinds), "x": _arrays(xs), "y": _arrays(ys)}
        return _table(frozen(np.array(self.curve_ids[1:], dtype=np.str_)), columns)

    def _status(self, which: NDArray[np.int64]) -> NDArray[np.object_]:
        return _text([_STATUS[int(s)] for s in self._link(which, self.en.INITSTATUS)])

    @staticmethod
    def _named(numbers: Sequence[float] | NDArray[np.float64], names: Sequence[str]) -> NDArray[np.object_]:
        return _text([names[int(i)] for i in numbers])

    # Options.

    def options(self) -> Options:
        en, p, u = self.en, self.project, self.units

        def option(code: int) -> float:
            return float(en.getoption(p, code))

        def seconds(code: int) -> int:
            return int(en.gettimeparam(p, code))

        model, p_min, p_required, p_exponent = en.getdemandmodel(p)
        return Options(
            headloss=HEADLOSS[int(option(en.HEADLOSSFORM))],  # type: ignore[arg-type]  # HEADLOSS holds the literals
            duration_s=seconds(en.DURATION),
            hydraulic_step_s=seconds(en.HYDSTEP),
            pattern_step_s=seconds(en.PATTERNSTEP),
            pattern_start_s=seconds(en.PATTERNSTART),
            report_step_s=seconds(en.REPORTSTEP),
            report_start_s=seconds(en.REPORTSTART),
            rule_step_s=seconds(en.RULESTEP),
            start_clocktime_s=seconds(en.STARTTIME),
            statistic=STATISTIC[seconds(en.STATISTIC)],  # type: ignore[arg-type]  # STATISTIC holds the literals
            trials=int(option(en.TRIALS)),
            accuracy=option(en.ACCURACY),
            head_error_m=option(en.HEADERROR) * u.length_m,
            flow_change_m3_per_s=option(en.FLOWCHANGE) * u.flow_m3_per_s,
            check_frequency=int(option(en.CHECKFREQ)),
            max_check=int(option(en.MAXCHECK)),
            damp_limit=option(en.DAMPLIMIT),
            unbalanced_trials=int(option(en.UNBALANCED)),
            demand_multiplier=option(en.DEMANDMULT),
            demand_model="PDA" if model == en.PDA else "DDA",
            minimum_pressure_m=p_min * u.pressure_m,
            required_pressure_m=p_required * u.pressure_m,
            pressure_exponent=p_exponent,
            emitter_exponent=option(en.EMITEXPON),
            emitter_backflow=bool(option(en.EMITBACKFLOW)),
            specific_gravity=option(en.SP_GRAVITY),
            viscosity_m2_per_s=option(en.SP_VISCOS) * VISCOSITY_M2_PER_S,
            pump_efficiency_percent=option(en.GLOBALEFFIC),
            energy_price=option(en.GLOBALPRICE),
            energy_price_pattern=self.pattern_ids[int(option(en.GLOBALPATTERN))],
            demand_charge=option(en.DEMANDCHARGE),
            default_pattern=self.pattern_ids[int(option(en.DEMANDPATTERN))],
            flow_unit=self.flow_unit,
            pressure_unit=self.pressure_unit,
        )


def as_written(values: Sequence[float]) -> NDArray[np.float64]:
    """The numbers the file holds: EPANET turns them to feet and back, which leaves a rounding in the last digit.

    >>> as_written([457.20000000000005]).tolist()
    [457.2]
    """
    v = np.asarray(values, dtype=np.float64)
    size = np.abs(v)
    plain = (size > 1e-6) & (size < 1e14)  # there 10^digits and the scaled value are exact
    scale = 10.0 ** (14 - np.floor(np.log10(np.where(plain, size, 1.0))))
    return np.where(plain, np.rint(v * scale) / scale, v)


def curve_uses(tables: Mapping[str, Table]) -> dict[str, str]:
    """Curve id -> the kind its user takes it for; of several users the first counts, validation names the others."""
    valve = tables["valve"]
    used = [
        *((curve, "volume") for curve in tables["tank"]["volume_curve"]),
        *((curve, "head") for curve in tables["pump"]["head_curve"]),
        *((curve, "efficiency") for curve in tables["pump"]["efficiency_curve"]),
        *((curve, VALVE_CURVE[kind]) for curve, kind in zip(valve["curve"], valve["kind"], strict=True) if curve),
    ]
    return {curve: kind for curve, kind in reversed(used) if curve}


def _text(values: Sequence[str]) -> NDArray[np.object_]:
    out: NDArray[np.object_] = np.empty(len(values), dtype=object)
    out[:] = list(values)
    return out


def _arrays(values: Sequence[NDArray[np.float64]]) -> NDArray[np.object_]:
    out: NDArray[np.object_] = np.empty(len(values), dtype=object)
    for i, array in enumerate(values):
        out[i] = frozen(array)
    return out


def _table(index: Any, columns: dict[str, Any]) -> Table:
    return Table(frozen(index), {name: frozen(column) for name, column in columns.items()})
