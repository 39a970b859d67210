"""Arrays with their names: solver results as xarray Datasets, and as netCDF.

Power: `{element}_{column}` over a dimension named after the element (pandapower's index); water: `node_`, `link_` and
`tank_` variables over the .inp's ids, with `time` before them. Every variable has `units` and `long_name` from the
column registry; the attributes say how the numbers came about. Further leading dimensions (`time`, `scenario`) come
first in the arrays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from grid_models.columns import COLUMNS
from grid_models.errors import InvalidInput, Issue
from grid_models.network import Network
from grid_models.power.network import BRANCH_BUSES, PowerNetwork
from grid_models.tables import Array, Table, frozen
from grid_models.water.network import WaterNetwork
from solvers.solution import Solution

_WATER_DIMENSIONS = ("node", "link", "tank", "pump")


@dataclass(frozen=True)
class Provenance:
    """Where a dataset comes from, for its attributes.

    Args:
        method: of the solver, such as "newton-raphson".
        options: of the run, whatever JSON can hold.
        input_sha256: of the file that was read; empty for networks made in code.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    input_sha256: str = ""


def power_dataset(
    network: PowerNetwork,
    results: Mapping[str, Array],
    solution: Solution[Any],
    provenance: Provenance,
    leading: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Label the results of a load flow.

    Args:
        network: the element tables.
        results: "{element}_{column}" -> (*leading, n_element), as from `solvers.power.results`.
        solution: status and cost.
        provenance: for the attributes.
        leading: dimension -> coordinate values, in the order of the arrays' first axes.

    Returns:
        Dataset with pandapower's index per element, `{element}_name`, `bus_vn_kv`, and where
        known `bus_lon`, `bus_lat`, and those of branches half way along.
    """
    leading = dict(leading or {})
    variables: dict[str, Any] = {}
    present: dict[str, None] = {}
    for name, values in results.items():
        element = _table_of(name, network.tables)
        present[element] = None
        variables[name] = ((*leading, element), values, _described(name))
    coordinates: dict[str, Any] = dict(leading)
    for element in present:
        table = network.tables[element]
        coordinates[element] = (element, table.index, {"long_name": f"pandapower index of {element}"})
        if "name" in table:
            named = np.array([_text(value) for value in table["name"].tolist()], dtype=object)
            coordinates[f"{element}_name"] = (element, named, {"long_name": f"name of {element}"})
    if "bus" in present:
        coordinates |= _bus_coordinates(network, present)
    return xr.Dataset(variables, coordinates, _attributes(network, solution, provenance))


def water_dataset(
    network: WaterNetwork,
    results: Mapping[str, Array],
    solution: Solution[Any],
    provenance: Provenance,
    time_s: Sequence[float] | Array | None = None,
    start: datetime | None = None,
    leading: Mapping[str, Any] | None = None,
    further: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Label the results of a hydraulic run.

    Args:
        network: for ids and coordinates.
        results: "node_..." -> (*leading, n_time, n_node), "link_..." likewise, "tank_..." likewise; without the time
            axis if `time_s` is None.
        solution: status and cost.
        provenance: for the attributes.
        time_s: (n_time,) seconds since the start.
        start: the instant of time 0; then `time` is UTC datetime64.
        leading: dimension -> coordinate values before time.
        further: variables besides, as xarray takes them.

    Returns:
        Dataset with the .inp's ids as coordinates of `node`, `link`, `tank` and `pump`, and where known `node_x`, `node_y` and
        those of links half way along, on the file's own map.
    """
    first: dict[str, Any] = dict(leading or {})
    if time_s is not None:
        first["time"] = time_coordinate(np.asarray(time_s, dtype=np.float64), start)
    dimensions = tuple(first)
    variables = {name: xr.as_variable(values, name) for name, values in (further or {}).items()}
    elements: dict[str, None] = {}
    for name, values in results.items():
        element = _table_of(name, _WATER_DIMENSIONS)
        elements[element] = None
        variables[name] = xr.Variable((*dimensions, element), values, _described(name), fastpath=True)
    own, labels = xr.Coordinates(first), _labels(network, tuple(elements))
    coordinates = {**own.variables, **{name: label.copy(deep=False) for name, label in labels.variables.items()}}
    # What `xr.Dataset(variables, coordinates)` makes, without its search for what might not fit: half of a small run's cost.
    return xr.Dataset._construct_direct(
        {**variables, **coordinates},
        set(coordinates),
        attrs=_attributes(network, solution, provenance),
        indexes={**own.xindexes, **labels.xindexes},
    )


# Labels are most of what a small run's Dataset costs, and the same for each of a network.
_LABELS: WeakKeyDictionary[WaterNetwork, dict[tuple[str, ...], xr.Coordinates]] = WeakKeyDictionary()


def _labels(network: WaterNetwork, elements: tuple[str, ...]) -> xr.Coordinates:
    """Ids of these elements, and where known their places."""
    known = _LABELS.setdefault(network, {})
    if elements not in known:
        tables = network.tables
        ids = {"node": network.node_ids, "link": network.link_ids, "tank": tables["tank"].index, "pump": tables["pump"].index}
        named = {d: (d, ids[d].astype(object), {"long_name": f"id of {d} in the .inp"}) for d in elements}
        known[elements] = xr.Coordinates(named | _node_coordinates(network, [d for d in _WATER_DIMENSIONS if d in named]))
    return known[elements]


_SCREENING = {
    "outage_status": ("1", "how the solve of the outage ended"),
    "outage_islands": ("1", "parts with buses that lose every source"),
    "lost_load_mw": ("MW", "load on the parts that lose every source"),
    "max_loading_percent": ("%", "largest loading of a line or transformer"),
    "max_loading_element": ("1", "where it is"),
    "min_vm_pu": ("pu", "least voltage"),
    "max_vm_pu": ("pu", "greatest voltage"),
    "outage_mismatch_pu": ("pu", "largest power mismatch left"),
}
_VIOLATIONS = {
    "violation_outage": ("1", "label of the outage"),
    "violation_element": ("1", "line or transformer over its limit, or bus outside its band"),
    "violation_value": ("% or pu", "loading of a branch, voltage of a bus"),
}


def screening_dataset(
    network: PowerNetwork, columns: Mapping[str, Array], labels: Array, solution: Solution[Any], provenance: Provenance
) -> xr.Dataset:
    """Label a screening.

    Args:
        network: of the base case.
        columns: the names of this module's screening tables -> (n_outage,) or, `violation_*`, (n_violation,).
        labels: (n_outage,) such as "line 7".
        solution: of the base case.
        provenance: for the attributes.
    """
    variables = {
        name: (dim, columns[name], {"units": unit, "long_name": text})
        for dim, table in (("outage", _SCREENING), ("violation", _VIOLATIONS))
        for name, (unit, text) in table.items()
    }
    coordinates = {"outage": ("outage", labels, {"long_name": "elements that are out"})}
    return xr.Dataset(variables, coordinates, _attributes(network, solution, provenance))


def screening_series_dataset(datasets: Sequence[xr.Dataset], instants: xr.DataArray) -> xr.Dataset:
    """Screenings of a series as one dataset: outages over (instant, outage), violations with their instant.

    Args:
        datasets: of `screening_dataset`, one for each instant, with the same outages.
        instants: (n_instant,) the coordinate of the series, `scenario` or `time`.
    """
    lead = str(instants.dims[0])
    joined = xr.concat([d.drop_dims("violation") for d in datasets], dim=instants, combine_attrs="override")
    found = xr.concat([d[list(_VIOLATIONS)] for d in datasets], dim="violation")
    at = np.repeat(instants.values, [d.sizes["violation"] for d in datasets])
    statuses = np.array([d.attrs["status"] for d in datasets], dtype=object)
    return joined.assign(
        {str(name): variable for name, variable in found.data_vars.items()}
        | {
            f"violation_{lead}": ("violation", at, {"long_name": f"{lead} of the violation"}),
            "base_status": (lead, statuses, {"units": "1", "long_name": "how the solve without outage ended"}),
        }
    )


_CHECK = {
    "check_mass": ("1", "largest imbalance of a junction over what enters the network"),
    "check_mass_node": ("1", "that junction"),
    "check_head_m": ("m", "largest difference between a link's head loss and its law"),
    "check_head_link": ("1", "that link"),
    "check_outflow": ("1", "by how much openings or pressure-dependent demands miss their law, over what enters"),
    "check_broken": ("1", "conditions of valves, pumps and shut links that do not hold, one a line"),
}


def with_check(dataset: xr.Dataset, time_s: Array, columns: Mapping[str, Array]) -> xr.Dataset:
    """A hydraulic result with what the check of its run found.

    Args:
        dataset: of `water_dataset`.
        time_s: (n_instant,) seconds since the start.
        columns: `check_...` -> (n_instant,), as from `solvers.water.checking`.
    """
    variables = {name: ("instant", columns[name], {"units": unit, "long_name": text}) for name, (unit, text) in _CHECK.items()}
    instants = ("instant", time_s, {"units": "s", "long_name": "instant of the run, since its start"})
    return dataset.assign(variables).assign_coords(instant=instants)


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as netCDF 4.

    Raises:
        InvalidInput: the folder is not there.
    """
    packed = {str(name): {"zlib": True, "complevel": 1} for name, v in dataset.data_vars.items() if v.ndim > 1}
    if not path.parent.is_dir():
        raise InvalidInput([Issue("", "", (), "cannot be written: there is no such folder", file=str(path))])
    dataset.to_netcdf(path, engine="h5netcdf", encoding=packed)


def _table_of(name: str, tables: Mapping[str, Table] | Sequence[str]) -> str:
    """The longest table name that begins a variable's: `bus_dc_vm_pu` belongs to `bus_dc`, not to `bus`."""
    parts = name.split("_")
    for n in range(len(parts) - 1, 0, -1):
        if (table := "_".join(parts[:n])) in tables:
            return table
    raise KeyError(f"{name}: no table has this name")


def _described(name: str) -> dict[str, str]:
    column = COLUMNS[name]
    return {"units": column.unit, "long_name": column.text}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None or value != value else str(value)


def _bus_coordinates(network: PowerNetwork, present: Iterable[str]) -> dict[str, Any]:
    """Nominal voltage, and where known the longitude and latitude of buses, and of branches half way along."""
    vn_kv = network.tables["bus"]["vn_kv"]
    out: dict[str, Any] = {"bus_vn_kv": ("bus", vn_kv, {"units": "kV", "long_name": "nominal voltage"})}
    place = network.bus_place
    if np.isnan(place).all():
        return out
    middles = {"bus": place}
    for element in present:
        if network.tables[element].size and element in BRANCH_BUSES:
            ends = [network.node_of(network.tables[element][side]) for side in BRANCH_BUSES[element]]
            middles[element] = np.mean([place[end] for end in ends], axis=0)
    for element, middle in middles.items():
        out[f"{element}_lon"] = (element, middle[:, 0], {"units": "degrees_east", "long_name": "longitude"})
        out[f"{element}_lat"] = (element, middle[:, 1], {"units": "degrees_north", "long_name": "latitude"})
    return out


def _node_coordinates(network: WaterNetwork, present: Iterable[str]) -> dict[str, Any]:
    """Where known, x and y of nodes on the file's own map, and of links half way along."""
    place = network.node_place
    if np.isnan(place).all():
        return {}
    ends = frozen((place[network.link_from] + place[network.link_to]) / 2.0)
    middles = {"node": place, "link": ends, "tank": place[network.tank_node], "pump": ends[network.pump_link]}
    out: dict[str, Any] = {}
    for element in present:
        for axis, name in enumerate(("x", "y")):
            out[f"{element}_{name}"] = (element, middles[element][:, axis], {"long_name": f"{name} on the file's own map"})
    return out


def time_coordinate(time_s: Array, start: datetime | None) -> tuple[str, Array, dict[str, str]]:
    """The coordinate `time`: UTC where the start is known, else seconds since it."""
    if start is None:
        return "time", time_s, {"units": "s", "long_name": "time", "time_reference": "start of the simulation"}
    origin = np.datetime64(start.astimezone(UTC).replace(tzinfo=None), "ns")
    return "time", origin + np.round(time_s * 1e9).astype("timedelta64[ns]"), {"long_name": "time (UTC)"}


@cache
def _own_version() -> str:
    try:
        return version("city-twin")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _attributes(network: Network, solution: Solution[Any], provenance: Provenance) -> dict[str, Any]:
    return {
        "title": network.name,
        "status": solution.status.name,
        "status_text": solution.status.text,
        "culprits": json.dumps(solution.culprits),
        "detail": solution.detail,
        "iterations": solution.stats.iterations,
        "residual": solution.stats.residual,
        "method": provenance.method,
        "options": json.dumps(dict(provenance.options)),
        "model_revision": network.revision,
        "input_sha256": provenance.input_sha256,
        "version": _own_version(),
    }


def read_netcdf(path: Path) -> xr.Dataset:
    """Read a result.

    Raises:
        InvalidInput: no such file, or no netCDF.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            return data.load()
    except FileNotFoundError:
        raise InvalidInput([Issue("", "", (), "no such file", file=str(path))]) from None
    except (OSError, ValueError) as error:
        raise InvalidInput([Issue("", "", (), f"cannot be read as netCDF: {error}", file=str(path))]) from None
