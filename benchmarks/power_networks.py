"""Every network of pandapower, every SimBench grid of today if that package is there: does ours solve what theirs does?

Theirs is `pandapower.runpp` from a flat start (a DC start where that fails) at the tightest tolerance of 1e-10 to 1e-6 MVA
that it reaches; rounding on a base of 100 MVA and stiff branches keeps it from more on large networks.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np

from grid_models.errors import InvalidInput
from grid_models.formats.pandapower import from_pandapower
from solvers.power.load_flow import load_flow

TITLE = "Load flow on every packaged network"
TEXT = """Theirs: `pandapower.runpp` from a flat and from a DC start, at the tightest tolerance of 1e-10 to 1e-6 MVA that
it reaches. Ours: `solvers.power.load_flow` as it stands. |dV| is the largest difference of complex bus voltages.
SimBench: all 42 grids of scenario 0 (today) with their switches; scenarios 1 and 2 add plants to the same grids, and
`no_sw` is the same grid without switches. Where theirs does not converge, theirs is led along the load step by step, from
the network almost without load, to confirm how far it can grow."""
HEAD = ("network", "buses", "theirs", "ours", "iterations", "max dV [pu]", "note")

_TOLERANCES_MVA = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6)
_NO_NETWORK = {"create_dickert_lv_feeders", "sorted_from_json"}  # they add to a network, or read a file
_DICKERT = (("short", "middle", "long"), ("cable", "C&OHL"), ("single", "multiple"), ("good", "average", "bad"))
_CLASSES = ("rural_1", "rural_2", "village_1", "village_2", "suburb_1")
_SCENARIOS = ("on_peak_566", "off_peak_1", "off_peak_1440")


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """One row a network."""
    warnings.filterwarnings("ignore")
    solved = both = 0
    worst = 0.0
    for name, make in networks(quick):
        row, theirs_ok, ours_ok, distance = compare(name, make)
        solved += theirs_ok
        both += theirs_ok and ours_ok
        worst = max(worst, distance)
        yield row
    yield ("all", "", f"{solved} solved", f"{both} of these", "", f"{worst:.1e}", "")


def networks(quick: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and maker of every network; makers may return several."""
    import pandapower.networks as pn

    for name in dir(pn):
        maker = getattr(pn, name)
        theirs = inspect.isfunction(maker) and maker.__module__.startswith(pn.__name__)
        if not theirs or name.startswith("_") or name in _NO_NETWORK:
            continue
        if quick and name.startswith(("case", "GB", "lv_", "mv_")):
            continue
        yield from _variants(name, maker)
    if find_spec("simbench") is not None and not quick:
        import simbench

        for code in simbench.collect_all_simbench_codes():
            if not code.endswith("-0-sw"):
                continue
            yield f"simbench:{code}", lambda code=code: simbench.get_simbench_net(code)


def _variants(name: str, maker: Callable[..., Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    given: list[dict[str, Any]] = [{}]
    if name == "create_dickert_lv_network":
        keys = ("feeders_range", "linetype", "customer", "case")
        given = [dict(zip(keys, values, strict=True)) for values in product(*_DICKERT)]
        given = [arguments for arguments in given if _exists(maker, arguments)]
    elif name == "create_synthetic_voltage_control_lv_network":
        given = [{"network_class": kind} for kind in _CLASSES]
    elif name == "ieee_european_lv_asymmetric":
        given = [{"scenario": scenario} for scenario in _SCENARIOS]
    elif name == "create_cigre_network_mv":
        given = [{"with_der": der} for der in (False, "pv_wind", "all")]
    elif name == "lv_schutterwald":
        given = [{}, {"include_heat_pumps": True}, {"separation_by_sub": True}]
    elif name == "mv_oberrhein":
        given = [{"scenario": s} for s in ("load", "generation")]
        given += [{"include_substations": True}, {"separation_by_sub": True}]
    for arguments in given:
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
        yield f"{name}({shown})" if shown else name, lambda arguments=arguments: maker(**arguments)


def _exists(maker: Callable[..., Any], arguments: dict[str, Any]) -> bool:
    """Dickert's study has not every combination."""
    try:
        maker(**arguments)
    except ValueError:
        return False
    return True


def compare(name: str, make: Callable[[], Any]) -> tuple[tuple[str, ...], bool, bool, float]:
    """The row of one network, whether each solved it, and the largest difference."""
    try:
        made = make()
    except (ValueError, KeyError, FileNotFoundError, UserWarning) as error:
        return (name, "", "", "", "", "", f"cannot be made: {error}"), False, True, 0.0
    nets = [net for net in (made if isinstance(made, list | tuple) else [made]) if hasattr(net, "bus")]
    outcomes = [_one(net) for net in nets]
    worst = max(outcomes, key=lambda o: (not o["ours_ok"], o["distance"]))
    row = (
        name,
        " + ".join(str(len(net.bus)) for net in nets) if len(nets) < 5 else f"{sum(len(n.bus) for n in nets)} in {len(nets)}",
        worst["theirs"],
        worst["ours"],
        worst["iterations"],
        f"{worst['distance']:.1e}" if worst["compared"] else "",
        worst["note"],
    )
    return row, all(o["theirs_ok"] for o in outcomes), all(o["ours_ok"] for o in outcomes), float(worst["distance"])


def _one(net: Any) -> dict[str, Any]:
    try:
        network = from_pandapower(net)
        solution = load_flow(network)
    except InvalidInput as error:
        ours, iterations, ours_ok, v, note = "refused", "", False, None, str(error)[:160]
    else:
        ours, iterations, ours_ok = solution.status.name, str(solution.stats.iterations), solution.status.usable
        note = "" if ours_ok else f"{solution.detail or solution.status.text} ({', '.join(solution.culprits[:3])})"
        if "carried" in solution.stats.extra:
            note += _nose(net, solution.stats.extra["carried"])
        node_bus = solution.value.model.node_bus[: len(net.bus)]
        v = np.where(node_bus >= 0, np.append(solution.value.v, np.nan)[node_bus], np.nan)
    theirs = _theirs(net)
    distance, compared = 0.0, False
    if theirs.startswith("solved") and v is not None and ours_ok:
        expected = net.res_bus.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(net.res_bus.va_degree.to_numpy()))
        distance, compared = float(np.nanmax(np.abs(v - expected))), True
        if (np.isnan(v) != np.isnan(expected)).any():
            distance, note = np.inf, "other buses are dead"
    return {
        "theirs": theirs, "theirs_ok": theirs.startswith("solved"), "ours": ours, "ours_ok": ours_ok,
        "iterations": iterations, "distance": distance, "compared": compared, "note": note,
    }  # fmt: skip


def _nose(net: Any, carried: float) -> str:
    """Whether pandapower's own Newton method, step by step, gets as far and no further."""
    import pandapower as pp

    net, before = deepcopy(net), 1.0
    for share in (*np.linspace(0.1, 0.999, 40) * carried, 1.005 * carried):
        for table in ("load", "sgen", "gen", "storage"):
            net[table]["scaling"] *= share / before
        try:
            pp.runpp(net, init="flat" if before == 1.0 else "results", max_iteration=50, calculate_voltage_angles=True)
        except pp.LoadflowNotConverged:
            if share <= carried:
                return "; pandapower stops before"
            return f"; pandapower, step by step, cannot carry {100 * share:.1f} % either"
        before = share
    return "; pandapower goes further"


def _theirs(net: Any) -> str:
    """Solve by pandapower; `solved, 1e-10 MVA`, or why not. Of two solutions the one with the higher voltages is kept."""
    import pandapower as pp

    said, best = "", None
    for tolerance in _TOLERANCES_MVA:
        for init in ("flat", "dc"):
            try:
                pp.runpp(net, tolerance_mva=tolerance, max_iteration=50, init=init, calculate_voltage_angles=True)
            except pp.LoadflowNotConverged:
                said = "not converged"
            except (UserWarning, ValueError, KeyError, NotImplementedError, FloatingPointError) as error:
                said = f"{type(error).__name__}: {error}"[:80]
            else:
                lowest = float(net.res_bus.vm_pu.min())
                if best is None or lowest > best[0] + 1e-6:
                    low = f"; a flat start leads to {best[0]:.2f} pu" if best is not None else ""
                    best = (lowest, net.res_bus.copy(), low)
        if best is not None:
            net.res_bus = best[1]
            return f"solved, {tolerance:.0e} MVA{best[2]}"
    return said
