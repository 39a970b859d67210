"""The unit systems of an .inp file, and the way from each to SI.

The factors are EPANET's own (types.h), rounded as they are: a demand read with other digits would move heads by more
than the solvers' tolerance. One of them is odd and kept: a cubic foot holds 28.317 litres of flow, while a foot is
0.3048 m exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

M_PER_FT = 0.3048
M3_PER_FT3 = 0.028317
PSI_PER_FT = 0.4333
KPA_PER_PSI = 6.895
BAR_PER_PSI = 0.068948
KW_PER_HP = 0.7457
VISCOSITY_M2_PER_S = 1.1e-5 * M_PER_FT**2  # water at 20 degrees C

FLOW_UNITS_PER_CFS = {
    "CFS": 1.0,
    "GPM": 448.831,
    "MGD": 0.64632,
    "IMGD": 0.5382,
    "AFD": 1.9837,
    "LPS": 28.317,
    "LPM": 1699.0,
    "MLD": 2.4466,
    "CMH": 101.94,
    "CMD": 2446.6,
    "CMS": 0.028317,
}
US_FLOW_UNITS = ("CFS", "GPM", "MGD", "IMGD", "AFD")
PRESSURE_UNITS = ("PSI", "KPA", "METERS", "BAR", "FEET")


@dataclass(frozen=True, slots=True)
class Units:
    """What one of the file's units is in SI; multiply to read, divide to write.

    Args:
        flow_m3_per_s: one flow unit [m3/s].
        length_m: one unit of length, elevation and head [m].
        diameter_m: one unit of pipe and valve diameter [m].
        roughness_m: one unit of Darcy-Weisbach roughness [m].
        pressure_m: one pressure unit [m of the fluid's own head].
        emitter_pressure_m: the pressure unit of emitter coefficients: psi in US files, m in metric ones, whatever
            unit the pressures have [m].
        volume_m3: one unit of tank volume [m3].
        power_w: one unit of pump power [W].
    """

    flow_m3_per_s: float
    length_m: float
    diameter_m: float
    roughness_m: float
    pressure_m: float
    emitter_pressure_m: float
    volume_m3: float
    power_w: float

    @classmethod
    def of(cls, flow_unit: str, pressure_unit: str, specific_gravity: float) -> Units:
        """The units of a file.

        Args:
            flow_unit: a key of `FLOW_UNITS_PER_CFS`; it decides between US and metric lengths too.
            pressure_unit: one of `PRESSURE_UNITS`.
            specific_gravity: density relative to water [-].

        >>> round(Units.of("LPS", "METERS", 1.0).flow_m3_per_s, 12)
        0.001
        """
        us = flow_unit in US_FLOW_UNITS
        psi_per_ft = PSI_PER_FT * specific_gravity
        per_ft = {  # METERS and FEET are heads of the fluid itself
            "PSI": psi_per_ft,
            "KPA": psi_per_ft * KPA_PER_PSI,
            "METERS": M_PER_FT,
            "BAR": psi_per_ft * BAR_PER_PSI,
            "FEET": 1.0,
        }[pressure_unit]
        return cls(
            flow_m3_per_s=M3_PER_FT3 / FLOW_UNITS_PER_CFS[flow_unit],
            length_m=M_PER_FT if us else 1.0,
            diameter_m=M_PER_FT / 12 if us else 1e-3,
            roughness_m=1e-3 * M_PER_FT if us else 1e-3,
            pressure_m=M_PER_FT / per_ft,
            emitter_pressure_m=M_PER_FT / psi_per_ft if us else 1.0,
            volume_m3=M_PER_FT**3 if us else 1.0,
            power_w=1e3 * KW_PER_HP if us else 1e3,
        )
