"""The names that MATPOWER gives to columns, as its functions `idx_bus`, `idx_brch`, `idx_gen` and `idx_cost` return them.

Reference: MATPOWER User's Manual, appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping


def _numbered(names: str, numbers: str) -> dict[str, float]:
    return {name: float(number) for name, number in zip(names.split(), numbers.split(), strict=True)}


_BUS = _numbered(
    "PQ PV REF NONE BUS_I BUS_TYPE PD QD GS BS BUS_AREA VM VA BASE_KV ZONE VMAX VMIN LAM_P LAM_Q MU_VMAX MU_VMIN",
    "1 2 3 4 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
)
_BRANCH = _numbered(
    "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS PF QF PT QT MU_SF MU_ST ANGMIN ANGMAX"
    " MU_ANGMIN MU_ANGMAX",
    "1 2 3 4 5 6 7 8 9 10 11 14 15 16 17 18 19 12 13 20 21",
)
_GEN = _numbered(
    "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN MU_PMAX MU_PMIN MU_QMAX MU_QMIN PC1 PC2 QC1MIN QC1MAX"
    " QC2MIN QC2MAX RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF",
    "1 2 3 4 5 6 7 8 9 10 22 23 24 25 11 12 13 14 15 16 17 18 19 20 21",
)
_COST = _numbered("PW_LINEAR POLYNOMIAL MODEL STARTUP SHUTDOWN NCOST COST", "1 2 1 2 3 4 5")

LIBRARIES: Mapping[str, Mapping[str, float]] = {
    "idx_bus": _BUS,
    "idx_brch": _BRANCH,
    "idx_gen": _GEN,
    "idx_cost": _COST,
    "define_constants": {**_BUS, **_BRANCH, **_GEN, **_COST},
}
