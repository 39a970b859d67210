"""From streamed parts to whole frames, and from frames to labelled datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from grid_models.state import Freshness, Origin, Position, Residuals
from grid_models.tables import Array
from twin import wire
from twin.api.v1 import common_pb2, state_pb2

Described = Mapping[str, tuple[str, str, str]]
"""Column -> (dimension, unit, text), as in NetworkInfo.columns."""
_SINGLE = ("i64", "f32", "f64")


@dataclass(frozen=True, eq=False)
class Frame:
    """One state of one network, as selected.

    Args:
        network: its name.
        position: of this state.
        previous: of the frame before on the stream, None on the first.
        valid_time: the grid instant it speaks of, datetime64[us] UTC.
        known_time: when it was published.
        model_revision: content hash of the model.
        parameter_revision: number of the calibrated parameters.
        freshness: FRESH or STALE.
        status: how the estimate ended, such as `SOLVED`.
        advice: what to try, empty where nothing is wrong.
        culprits: elements the status speaks of.
        iterations: of the solver.
        accuracy: chi-square over degrees of freedom [1].
        oldest_source: time of the oldest measurement used, NaT where none.
        newest_source: of the newest.
        stale_inputs: number of measurements past their time to live.
        manual_inputs: number of manual entries in force.
        correction: late data changed a state that was published before.
        merged: states skipped since `previous`.
        values: column -> (n,).
        sigma: column -> (n,), where selected and known.
        origin: column -> (n,) of Origin, where selected and known.
        residuals: where selected.
        dims: dimension -> ids in column order.
        described: column -> (dimension, unit, text).
    """

    network: str
    position: Position
    previous: Position | None
    valid_time: np.datetime64
    known_time: np.datetime64
    model_revision: str
    parameter_revision: int
    freshness: Freshness
    status: str
    advice: str
    culprits: tuple[str, ...]
    iterations: int
    accuracy: float
    oldest_source: np.datetime64
    newest_source: np.datetime64
    stale_inputs: int
    manual_inputs: int
    correction: bool
    merged: int
    values: Mapping[str, Array]
    sigma: Mapping[str, Array]
    origin: Mapping[str, Array]
    residuals: Residuals | None
    dims: Mapping[str, tuple[str, ...]]
    described: Described

    def dataset(self) -> xr.Dataset:
        """Labelled: `bus_vm_pu(bus)`, `bus_vm_sigma_pu(bus)`, `bus_vm_pu_origin(bus)`, with units and ids."""
        data = labelled(self.values, self.dims, self.described)
        for name, values in self.sigma.items():
            dimension, unit, _ = self.described[name]
            attrs = {"units": unit, "long_name": f"standard deviation of {name}"}
            data[_sigma_name(name)] = (dimension, values, attrs)
        for name, values in self.origin.items():
            meanings = " ".join(f"{int(o)}={o.name}" for o in Origin)
            data[f"{name}_origin"] = (self.described[name][0], values, {"flag_meanings": meanings})
        if self.residuals is not None:
            r = self.residuals
            data = data.assign_coords(measurement=r.signal)
            data["measurement_value"] = ("measurement", r.value)
            data["measurement_estimate"] = ("measurement", r.estimate)
            data["measurement_normalised_residual"] = ("measurement", r.normalised, {"units": "1"})
            data["measurement_suspect"] = ("measurement", r.suspect)
        data = data.assign_coords(time=self.valid_time.astype("datetime64[ns]"))
        data.attrs = {
            "network": self.network,
            "position": f"{self.position.epoch}-{self.position.revision}",
            "status": self.status,
            "iterations": self.iterations,
            "accuracy": self.accuracy,
            "freshness": self.freshness.name,
            "model_revision": self.model_revision,
        }
        return data


class Assembler:
    """Joins parts; hands out a frame at its last part."""

    def __init__(self, described: Described) -> None:
        self._described = described
        self._dims: Mapping[str, tuple[str, ...]] = {}
        self._parts: list[state_pb2.StateFrame] = []

    def feed(self, response: Any) -> Frame | None:
        """Take a response that holds a Topology or a StateFrame; others give None."""
        kind = response.WhichOneof("kind")
        if kind == "topology":
            self._dims = ids_of(response.topology)
        if kind != "frame":
            return None
        if response.frame.part == 0:
            self._parts = []
        self._parts.append(response.frame)
        return self._frame() if response.frame.last_part else None

    def _frame(self) -> Frame:
        head = self._parts[0]
        columns = [c for part in self._parts for c in part.columns]
        residuals = [p.residuals for p in self._parts if p.HasField("residuals")]
        return Frame(
            network=wire.last_segment(head.network),
            position=Position(head.position.epoch, head.position.revision),
            previous=Position(head.previous_sent.epoch, head.previous_sent.revision)
            if head.HasField("previous_sent")
            else None,
            valid_time=_time(head, "valid_time"),
            known_time=_time(head, "known_time"),
            model_revision=head.model_revision,
            parameter_revision=head.parameter_revision,
            freshness=Freshness(head.freshness),
            status=head.solver_status.name,
            advice=head.solver_status.advice,
            culprits=tuple(head.solver_status.culprits),
            iterations=head.iterations,
            accuracy=head.accuracy,
            oldest_source=_time(head, "oldest_source_time"),
            newest_source=_time(head, "newest_source_time"),
            stale_inputs=head.stale_inputs,
            manual_inputs=head.manual_inputs,
            correction=head.correction,
            merged=head.merged,
            values=joined(columns),
            sigma=_joined_field(columns, "sigma"),
            origin=_joined_field(columns, "origin"),
            residuals=_residuals(residuals) if residuals else None,
            dims=self._dims,
            described=self._described,
        )


def joined(columns: Iterable[common_pb2.Column]) -> dict[str, Array]:
    """Column -> (n,) values from slices in order."""
    slices: dict[str, list[Array]] = {}
    for column in columns:
        slices.setdefault(column.name, []).append(_values(column))
    return {name: np.concatenate(parts) if len(parts) > 1 else parts[0] for name, parts in slices.items()}


def ids_of(topology: common_pb2.Topology) -> dict[str, tuple[str, ...]]:
    """Dimension -> ids."""
    return {d.name: tuple(d.ids) for d in topology.dimensions}


def labelled(values: Mapping[str, Array], dims: Mapping[str, tuple[str, ...]], described: Described) -> xr.Dataset:
    """Values with their ids, units and names; pandapower's numeric ids become numbers again."""
    variables = {}
    for name, array in values.items():
        dimension, unit, text = described[name]
        variables[name] = (dimension, array, {"units": unit, "long_name": text})
    used = dict.fromkeys(dimension for dimension, _, _ in variables.values())
    return xr.Dataset(variables, {d: coordinate(dims[d]) for d in used if d in dims})


def coordinate(ids: tuple[str, ...]) -> Array:
    """Ids as a coordinate: int64 where all are whole numbers, else text."""
    if ids and all(i.isascii() and i.isdigit() and len(i) < 19 for i in ids):
        numbers = np.array(ids, dtype=np.int64)
        if tuple(map(str, numbers.tolist())) == ids:
            return numbers
    return np.array(ids, dtype=object)


def _values(column: common_pb2.Column) -> Array:
    for field in _SINGLE:
        values = getattr(column, field)
        if values:
            return np.array(values, dtype={"i64": np.int64, "f32": np.float32, "f64": np.float64}[field])
    if column.u8:
        return np.frombuffer(column.u8, dtype=np.uint8).astype(bool)
    return np.array(column.text, dtype=object) if column.text else np.empty(0)


def _joined_field(columns: Iterable[common_pb2.Column], field: str) -> dict[str, Array]:
    slices: dict[str, list[Array]] = {}
    for column in columns:
        raw = getattr(column, field)
        if raw:
            part = np.frombuffer(raw, dtype=np.uint8) if field == "origin" else np.array(raw, dtype=np.float32)
            slices.setdefault(column.name, []).append(part)
    return {name: np.concatenate(parts) for name, parts in slices.items()}


def _residuals(parts: list[state_pb2.Residuals]) -> Residuals:
    def column(name: str, dtype: Any) -> Array:
        return np.concatenate([np.array(getattr(p, name), dtype=dtype) for p in parts])

    return Residuals(
        signal=column("signal", np.uint32),
        value=column("value", np.float64),
        estimate=column("estimate", np.float64),
        normalised=column("normalised", np.float64),
        suspect=np.frombuffer(b"".join(p.suspect for p in parts), dtype=np.uint8).astype(bool),
    )


def _time(head: state_pb2.StateFrame, field: str) -> np.datetime64:
    return np.datetime64(wire.micros(getattr(head, field)) if head.HasField(field) else "NaT", "us")


def _sigma_name(column: str) -> str:
    stem, _, unit = column.rpartition("_")
    return f"{stem}_sigma_{unit}"
