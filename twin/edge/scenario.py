"""ScenarioService: what-if, export and comparison; nothing live changes."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import numpy as np

from grid_models.network import Network
from grid_models.scenario import Change, Patch, apply
from twin import wire
from twin.api.v1 import scenario_pb2 as pb
from twin.edge.errors import bad
from twin.edge.frames import dimension_of, parts, slices, solver_status
from twin.edge.requests import at, network_of, page, span
from twin.edge.selection import topology
from twin.errors import PreconditionFailed
from twin.port import NetworkInfo, PublishedState, RunResult, Twin

_LONGEST_RUN_S = 366 * 86400.0
_MOST_TOML = 1 << 20
_CHUNK_BYTES = 1 << 20
_SUFFIX = {"power": ".json", "water": ".inp"}


class ScenarioService:
    """Translates questions to a fork."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def RunWhatIf(
        self, request: pb.RunWhatIfRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.RunWhatIfResponse | bytes]:
        """RunSummary, then parts."""
        info = network_of(self._twin, request.scenario.network, "scenario.network")
        duration_s = span(request, "duration", _LONGEST_RUN_S)
        base, patch = at(request.scenario.at), patch_of(request.scenario)
        result = await self._twin.run_what_if(info.name, base, patch, duration_s)
        yield pb.RunWhatIfResponse(summary=_summary(info, result))
        bodies = list(parts(_pieces(info, result)))
        for k, body in enumerate(bodies):
            end = pb.RunPart(last_part=k == len(bodies) - 1).SerializeToString()
            yield wire.delimited(2, (body, end))

    async def ExportNetwork(
        self, request: pb.ExportNetworkRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.ExportNetworkResponse]:
        """The forked and patched network as a file."""
        info = network_of(self._twin, request.scenario.network, "scenario.network")
        base, patch = at(request.scenario.at), patch_of(request.scenario)
        fork = await self._twin.fork(info.name, base)
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in info.name) + _SUFFIX[info.kind]
        data = await asyncio.to_thread(_exported, fork, patch, name)
        for start in range(0, max(len(data), 1), _CHUNK_BYTES):
            yield pb.ExportNetworkResponse(file_name=name if start == 0 else "", data=data[start : start + _CHUNK_BYTES])

    async def CompareStates(self, request: pb.CompareStatesRequest, context: grpc.aio.ServicerContext) -> pb.Comparison:
        """What differs between two states of one network."""
        info = network_of(self._twin, request.network)
        size, _ = page(request.page_size, "", default=1000, largest=10_000)
        before = await self._twin.get_state(info.name, at(request.before))
        after = await self._twin.get_state(info.name, at(request.after))
        if before.state.model_revision != after.state.model_revision:
            raise PreconditionFailed(f"{info.name}: the two states belong to different models")
        return await asyncio.to_thread(_comparison, info, before, after, size)


def patch_of(message: pb.Scenario) -> Patch:
    """The patch of a scenario, from TOML or from structured changes.

    Raises:
        BadRequest: both forms at once, too long, or a change without a verb.
        InvalidInput: the TOML's faults, all at once.
    """
    if message.patch_toml and message.changes:
        raise bad("scenario.patch_toml", "excludes scenario.changes")
    if len(message.patch_toml.encode()) > _MOST_TOML or message.ByteSize() > _MOST_TOML:
        raise bad("scenario", f"is longer than {_MOST_TOML} bytes")
    if message.patch_toml:
        return Patch.from_toml(message.patch_toml)
    return Patch(tuple(_change(change, f"scenario.changes[{k}]") for k, change in enumerate(message.changes)))


def _change(message: pb.Change, field: str) -> Change:
    verb = message.WhichOneof("kind")
    if verb is None:
        raise bad(field, "needs one of set, scale, create, remove")
    body = getattr(message, verb)
    table, _, label = body.element.partition(" ")
    if not (table and label):
        raise bad(f"{field}.{verb}.element", f'must be a table and an id, such as "line 7", is {body.element!r}')
    after_s = span(message, "after", _LONGEST_RUN_S)
    if verb == "create":
        fields = {name: _scalar(v, f"{field}.create.fields[{name}]") for name, v in body.fields.items()}
        return Change(verb, table, label, fields=fields, after_s=after_s)
    if verb == "set":
        return Change(verb, table, label, body.column, _scalar(body.value, f"{field}.set.value"), after_s=after_s)
    if verb == "scale":
        if not np.isfinite(body.factor):
            raise bad(f"{field}.scale.factor", f"must be finite, is {body.factor}")
        return Change(verb, table, label, body.column, body.factor, after_s=after_s)
    return Change(verb, table, label, after_s=after_s)


def _scalar(message: pb.Scalar, field: str) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise bad(field, "has no value")
    return list(message.numbers.values) if kind == "numbers" else getattr(message, kind)


def _summary(info: NetworkInfo, result: RunResult) -> pb.RunSummary:
    return pb.RunSummary(
        solver_status=solver_status(result.status, result.culprits),
        violated=result.violated,
        relieved=result.relieved,
        base=topology("", _dims(info, result.base, result.base_dims)),
        patched=topology("", _dims(info, result.patched, result.patched_dims)),
        time_us=result.time_us,
    )


def _dims(info: NetworkInfo, columns: Mapping[str, Any], own: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    known = {**info.dims, **own}
    needed = dict.fromkeys(dimension_of(name, info.columns) for name in columns)
    return {name: known[name] for name in needed if name in known}


def _pieces(info: NetworkInfo, result: RunResult) -> Iterator[bytes]:
    for side, columns in (("base", result.base), ("patched", result.patched)):
        for name, values in columns.items():
            for column in slices(name, dimension_of(name, info.columns), np.asarray(values).reshape(-1)):
                part = pb.RunPart(base=[column]) if side == "base" else pb.RunPart(patched=[column])
                yield part.SerializeToString()


def _exported(fork: Network, patch: Patch, name: str) -> bytes:
    from grid_models.formats import write

    with TemporaryDirectory(prefix="twin-export-") as folder:
        path = Path(folder) / name
        write(apply(fork, patch), path)
        return path.read_bytes()


def _comparison(info: NetworkInfo, before: PublishedState, after: PublishedState, size: int) -> pb.Comparison:
    from twin.compare import compare

    difference = compare(_dataset(info, before), _dataset(info, after))
    rows = difference.rows.head(size)
    answer = pb.Comparison(
        column=rows["column"],
        element=rows["element"],
        not_listed=len(difference.rows) - len(rows),
        violated=difference.violated,
        relieved=difference.relieved,
    )
    for name in ("before", "after", "difference", "rank"):
        wire.fill(answer, name, rows[name].to_numpy(dtype=np.float64))
    return answer


def _dataset(info: NetworkInfo, published: PublishedState) -> Any:
    import xarray as xr

    values = {n: v for n, v in published.state.values.items() if n in info.columns}
    return xr.Dataset(
        {n: (info.columns[n][0], v, {"units": info.columns[n][1]}) for n, v in values.items()},
        {d: np.array(info.dims[d], dtype=object) for d in {info.columns[n][0] for n in values}},
    )
