"""Loss figures of a searched year, zone by zone, from its readings and the leaks that were followed."""

from __future__ import annotations

import csv
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.town import Town
from solvers.water.losses import Losses, losses
from solvers.water.plan import Floats

_LEAST_KM = 0.5  # what is shorter is a station's own piping


def zone_losses(
    town: Town,
    hours: Hours,
    leaks_m3_per_h: Floats,
    pressure_m: Floats,
    inhabitants: float | None = None,
    connections: float | None = None,
) -> tuple[Losses, ...]:
    """Figures of every zone whose inflow is metered.

    Args:
        town: calibrated.
        hours: that were searched.
        leaks_m3_per_h: (n, n_zone) of the followed leaks.
        pressure_m: (n, n_zone) mean pressures.
        inhabitants: of all zones, shared out by inflow; supposed where None.
        connections: of all zones, shared out by length; no ILI where None.
    """
    inflow = zone_inflow(town, hours)
    length = zone_length_km(town)
    shown = [z for z in range(len(length)) if length[z] >= _LEAST_KM and np.isfinite(inflow[:, z]).any()]
    mean = np.array([max(float(np.nanmean(inflow[:, z])), 0.0) for z in shown])
    hour_of_day = hours.hour_of_week % 24
    out = []
    for z, share in zip(shown, mean / max(mean.sum(), 1e-9), strict=True):
        people = None if inhabitants is None else inhabitants * float(share)
        services = None if connections is None else connections * float(length[z] / length[shown].sum())
        figures = losses(
            zone_name(town, z), hour_of_day, inflow[:, z], leaks_m3_per_h[:, z], pressure_m[:, z], float(length[z]),
            inhabitants=people, connections=services,
        )  # fmt: skip
        out.append(figures)
    return tuple(out)


def zone_inflow(town: Town, hours: Hours) -> Floats:
    """(n, n_zone) net metered inflow less what the zone's tanks gain, nan where it is not metered [m3/h]."""
    zones = town.zones
    by_meter = np.array([zones.inflow(flow) for flow in hours.flow_m3_per_h])
    out = np.where(zones.balanced, by_meter, np.nan)
    first = town.n_output - town.n_balance
    out[:, town.zone_of_output[first:]] = town.measured(hours)[:, first:]
    return out


def zone_length_km(town: Town) -> Floats:
    """(n_zone,) of the pipes in each zone."""
    zone = town.zone_of_pipe
    length = np.asarray(town.network.tables["pipe"]["length_m"], dtype=np.float64) / 1000.0
    return np.bincount(zone[zone >= 0], length[zone >= 0], len(town.zones.balanced)).astype(np.float64)


def zone_name(town: Town, zone: int) -> str:
    """A zone by the meters at its border."""
    at = (town.zones.to_zone == zone) | (town.zones.from_zone == zone)
    meters = [town.sensors.flow[i] for i in np.flatnonzero(at)]
    return f"zone {zone}" + (f" ({', '.join(meters)})" if meters else "")


def write_losses(found: tuple[Losses, ...], path: Path) -> None:
    """Write one row a zone, columns as in `solvers.water.losses.Losses`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Losses)])
        writer.writerows([f"{x:.4g}" if isinstance(x, float) else x for x in astuple(row)] for row in found)
