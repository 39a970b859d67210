"""Hypothesis strategies: small random water networks that are valid by construction.

Every network is connected, has a source, and stands on flat ground well below it, so that a solver may be held to
"it converges, and mass balances" without excuses.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_text import InpText
from grid_models.water.network import WaterNetwork
from grid_models.water.units import FLOW_UNITS_PER_CFS, US_FLOW_UNITS, Units

_HEADLOSS = {"H-W": st.floats(60, 150), "D-W": st.floats(0.01, 3), "C-M": st.floats(0.009, 0.02)}

_ORDER = (
    "JUNCTIONS",
    "RESERVOIRS",
    "TANKS",
    "PIPES",
    "PUMPS",
    "VALVES",
    "DEMANDS",
    "PATTERNS",
    "CURVES",
    "CONTROLS",
    "TIMES",
    "OPTIONS",
)


def _decimal(low: float, high: float, digits: int = 3) -> SearchStrategy[str]:
    return st.floats(low, high, allow_nan=False).map(lambda x: f"{x:.{digits}f}")


@st.composite
def inp_texts(draw: DrawFn, *, max_junctions: int = 8, devices: bool = True, flow_unit: str | None = None) -> str:
    """Text of a random .inp file.

    Args:
        draw: hypothesis' own.
        max_junctions: the most junctions it has.
        devices: whether pumps, valves, tanks and controls may occur beside junctions, reservoirs and pipes.
        flow_unit: the file's flow unit; drawn when None.
    """
    n = draw(st.integers(1, max_junctions))
    unit = flow_unit or draw(st.sampled_from(sorted(FLOW_UNITS_PER_CFS)))
    headloss = draw(st.sampled_from(sorted(_HEADLOSS)))
    us = unit in US_FLOW_UNITS
    units = Units.of(unit, "PSI" if us else "METERS", 1.0)
    per_m = 1 / units.length_m
    lps = 1e-3 / units.flow_m3_per_s

    def pipe(label: str, start: str, end: str, status: str = "Open") -> str:
        length = draw(_decimal(10 * per_m, 800 * per_m))
        diameter = draw(st.sampled_from([4, 6, 8, 12] if us else [100, 150, 200, 300]))
        # A Darcy-Weisbach roughness is in thousandths of a foot or in mm, the others have no unit.
        rough = draw(_HEADLOSS[headloss])
        return f" {label} {start} {end} {length} {diameter} {rough:.4f} {draw(_decimal(0, 2, 2))} {status}"

    junctions, demands, pipes = [], [], []
    for i in range(n):
        junctions.append(f" J{i} {draw(_decimal(0, 15 * per_m))}")
        demands.append(f" J{i} {draw(_decimal(0, 3 * lps, 5))} {draw(st.sampled_from(['', 'day']))}")
        upstream = f"J{draw(st.integers(0, i - 1))}" if i else "R"
        pipes.append(pipe(f"P{i}", upstream, f"J{i}"))
    for k in range(draw(st.integers(0, n))):
        start, end = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        if start != end:
            pipes.append(pipe(f"L{k}", f"J{start}", f"J{end}", draw(st.sampled_from(["Open", "Closed"]))))
    sections = {
        "JUNCTIONS": junctions,
        "RESERVOIRS": [f" R {draw(_decimal(50 * per_m, 90 * per_m))}"],
        "PIPES": pipes,
        "DEMANDS": demands,
        "PATTERNS": [" day " + " ".join(draw(st.lists(_decimal(0.2, 2), min_size=1, max_size=6)))],
        "TIMES": [f" DURATION {draw(st.integers(0, 12))}:00"],
        "OPTIONS": [f" UNITS {unit}", f" HEADLOSS {headloss}", " PATTERN none"],
    }
    if devices:
        _add_devices(draw, sections, n, units)
    order = sorted(sections, key=_ORDER.index)  # EPANET wants nodes before links, and links before controls
    return "".join(f"[{name}]\n" + "\n".join(sections[name]) + "\n" for name in order) + "[END]\n"


def _add_devices(draw: DrawFn, sections: dict[str, list[str]], n: int, units: Units) -> None:
    """A tank, a boosted street and a reduced street, each on junctions of its own, each drawn or not."""
    per_m, lps = 1 / units.length_m, 1e-3 / units.flow_m3_per_s
    mm, head = 1e-3 / units.diameter_m, 1 / units.pressure_m
    at = f"J{draw(st.integers(0, n - 1))}"
    if draw(st.booleans()):
        sections["TANKS"] = [f" T {40 * per_m:.4f} {2 * per_m:.4f} 0 {6 * per_m:.4f} {12 * per_m:.4f} 0"]
        sections["PIPES"].append(f" PT {at} T {200 * per_m:.4f} {150 * mm:.4f} {'0.01' if _smooth(sections) else 120}")
    if draw(st.booleans()):
        sections["JUNCTIONS"].append(f" JP {10 * per_m:.4f}")
        sections["DEMANDS"].append(f" JP {draw(_decimal(0.5 * lps, 2 * lps, 5))} day")
        sections["PUMPS"] = [f" U {at} JP HEAD lift"]
        sections["CURVES"] = [f" lift {5 * lps:.6f} {20 * per_m:.4f}"]
    if draw(st.booleans()):
        kind, setting = draw(st.sampled_from([("PRV", 20 * head), ("TCV", 5.0), ("FCV", 2 * lps)]))
        sections["JUNCTIONS"].append(f" JV {5 * per_m:.4f}")
        sections["DEMANDS"].append(f" JV {draw(_decimal(0.1 * lps, 1.5 * lps, 5))}")
        sections["VALVES"] = [f" V {at} JV {150 * mm:.4f} {kind} {setting:.5f} 0"]
    if "TANKS" in sections and "PUMPS" in sections:
        level = f"{5 * per_m:.4f}"
        sections["CONTROLS"] = [f" LINK U 0.9 IF NODE T ABOVE {level}", " LINK U OPEN AT TIME 2:30"]


def _smooth(sections: dict[str, list[str]]) -> bool:
    return " HEADLOSS H-W" not in sections["OPTIONS"]


def water_networks(
    *, max_junctions: int = 8, devices: bool = True, flow_unit: str | None = None
) -> SearchStrategy[WaterNetwork]:
    """Random networks, read from `inp_texts` of the same arguments."""
    texts = inp_texts(max_junctions=max_junctions, devices=devices, flow_unit=flow_unit)
    return texts.map(lambda text: read_text(InpText(text, "random"), "random"))
