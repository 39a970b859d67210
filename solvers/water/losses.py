"""Water losses in the figures that German utilities report, zone by zone.

    minimum night flow    Q_N: mean inflow of the quietest hour between 2 and 4 o'clock, the median over all nights
    by night flow         Q_VR = (Q_N - q_E E) sqrt(p_day / p_night), E inhabitants, q_E their use at night
    by followed leaks     Q_VR = mean flow of the leaks that are known: a lower bound
    specific real losses  q_VR = Q_VR / L                                                            [m3/(km h)]
    leakage index         ILI = Q_VR / UARL,  UARL = (18 L + 0.8 N) p                               [litres a day]

L: length of mains [km], N: service connections with the meter at the property line, p: mean pressure [m].
DVGW W 392 sorts q_VR by how much a town feeds into its mains [m3/(km a)]:

                              low       medium         high
    rural    below 5,000    < 0.05    0.05 .. 0.10    > 0.10
    urban   5,000 .. 15,000 < 0.07    0.07 .. 0.15    > 0.15
    city    above 15,000    < 0.10    0.10 .. 0.20    > 0.20

Where no number of inhabitants is given, as many are supposed as would draw the inflow at 125 litres a day each; with
industry that works at night the losses by night flow then come out too large.

Reference: DVGW W 392 (A), "Wasserverlust in Rohrnetzen" (2003, 2017); A. O. Lambert et al., J. Water SRT AQUA 48 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NIGHT_HOURS = (2, 3)
_NIGHT_USE = 0.6e-3  # m3/h an inhabitant, the middle of what W 392 gives
_DAILY_USE = 0.125 / 24.0  # m3/h an inhabitant
_HOURS_A_YEAR = 8760.0
_CLASSES = ((5_000.0, "rural", 0.05, 0.10), (15_000.0, "urban", 0.07, 0.15), (np.inf, "city", 0.10, 0.20))


@dataclass(frozen=True)
class Losses:
    """What is lost in one zone.

    Args:
        zone: name.
        length_km: of mains.
        inflow_m3_per_h: mean.
        night_flow_m3_per_h: minimum night flow.
        by_night_m3_per_h: real losses by night flow.
        by_leaks_m3_per_h: mean flow of the leaks that were followed.
        q_vr_m3_per_km_h: specific real losses, by night flow.
        structure: rural, urban or city.
        loss_class: low, medium or high.
        ili: infrastructure leakage index, nan where the number of connections is unknown.
    """

    zone: str
    length_km: float
    inflow_m3_per_h: float
    night_flow_m3_per_h: float
    by_night_m3_per_h: float
    by_leaks_m3_per_h: float
    q_vr_m3_per_km_h: float
    structure: str
    loss_class: str
    ili: float


def losses(
    zone: str,
    hour_of_day: NDArray[np.int64],
    inflow_m3_per_h: Floats,
    leaks_m3_per_h: Floats,
    pressure_m: Floats,
    length_km: float,
    *,
    inhabitants: float | None = None,
    connections: float | None = None,
) -> Losses:
    """Figures of one zone.

    Args:
        zone: its name.
        hour_of_day: (n,) 0 .. 23, hours in order.
        inflow_m3_per_h: (n,) net metered inflow, nan where unknown.
        leaks_m3_per_h: (n,) flow of the known leaks.
        pressure_m: (n,) mean pressure in the zone.
        length_km: of its mains.
        inhabitants: of the zone; supposed from its inflow where None.
        connections: services in the zone; no ILI where None.

    Reference: DVGW W 392; Lambert et al. (1999), eq. 1.

    >>> hour = np.arange(48) % 24
    >>> inflow = np.where((hour == 2) | (hour == 3), 9.0, 30.0)
    >>> found = losses("north", hour, inflow, np.full(48, 2.0), np.full(48, 40.0), 20.0, inhabitants=5000, connections=900)
    >>> round(found.by_night_m3_per_h, 2), round(found.q_vr_m3_per_km_h, 2), found.structure, found.loss_class
    (6.0, 0.3, 'urban', 'high')
    >>> round(found.ili, 2)
    3.33
    """
    mean = float(np.nanmean(inflow_m3_per_h)) if np.isfinite(inflow_m3_per_h).any() else np.nan
    night = minimum_night_flow(hour_of_day, inflow_m3_per_h)
    people = inhabitants if inhabitants is not None else max(mean, 0.0) / _DAILY_USE
    at_night = np.isin(hour_of_day, NIGHT_HOURS)
    ratio = np.sqrt(np.nanmean(pressure_m) / np.nanmean(pressure_m[at_night])) if at_night.any() else 1.0
    by_night = float(max(night - _NIGHT_USE * people, 0.0) * ratio) if np.isfinite(night) else np.nan
    q_vr = by_night / length_km
    structure, loss_class = classify(q_vr, mean * _HOURS_A_YEAR / length_km)
    unavoidable = np.nan
    if connections is not None:
        unavoidable = (18.0 * length_km + 0.8 * connections) * float(np.nanmean(pressure_m)) / 24_000.0
    by_leaks, ili = float(np.mean(leaks_m3_per_h)), by_night / unavoidable
    return Losses(zone, length_km, mean, night, by_night, by_leaks, q_vr, structure, loss_class, ili)


def minimum_night_flow(hour_of_day: NDArray[np.int64], inflow_m3_per_h: Floats) -> float:
    """Median over the nights of the smaller hour's mean inflow between 2 and 4 o'clock, nan without any [m3/h].

    Args:
        hour_of_day: (n,) hours in order.
        inflow_m3_per_h: (n,).
    """
    two = np.flatnonzero((hour_of_day[:-1] == NIGHT_HOURS[0]) & (hour_of_day[1:] == NIGHT_HOURS[1]))
    nights = np.minimum(inflow_m3_per_h[two], inflow_m3_per_h[two + 1])
    return float(np.nanmedian(nights)) if np.isfinite(nights).any() else float("nan")


def classify(q_vr: float, feed_m3_per_km_a: float) -> tuple[str, str]:
    """Supply structure and class of losses after W 392; empty where the figures are unknown.

    Args:
        q_vr: specific real losses [m3/(km h)].
        feed_m3_per_km_a: yearly inflow per length of mains.

    >>> classify(0.08, 9_000.0), classify(0.08, 20_000.0)
    (('urban', 'medium'), ('city', 'low'))
    """
    if not np.isfinite([q_vr, feed_m3_per_km_a]).all():
        return "", ""
    _, structure, low, high = next(row for row in _CLASSES if feed_m3_per_km_a < row[0])
    return structure, "low" if q_vr < low else "medium" if q_vr <= high else "high"
