"""What-if in a few words: `twin.open(base).edit(...).run().compare(other)`.

A study is a base, a network file or a living twin at an instant, and the changes to it. It never changes: each word
returns a new one, so that variants of one base stand beside each other. The words are the verbs of a patch
(docs/patch.schema.json); nothing live changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import xarray as xr

from grid_models.network import Network
from grid_models.scenario import Change, Patch
from solvers.solution import Status, Unsolvable
from twin.bases import LiveBase, live_base
from twin.client.results import WhatIf
from twin.compare import Comparison, compare
from twin.what_if import alongside


def open(base: str) -> Study:  # noqa: A001 -- one opens a network as one opens a file
    """Open a network file, a packaged network, or a living twin.

    Args:
        base: as for `twin solve`, or `grpc://host:port/network`, or that `@2026-11-21T18:00`.

    Raises:
        InvalidInput: the file cannot be read; all of its problems at once.

    >>> import twin
    >>> grid = twin.open("pandapower:case9")
    >>> heavier = grid.scale("load *", p_mw=1.2).edit("line 2", in_service=False)
    >>> heavier.run().compare(grid.run()).violated
    ()
    """
    from grid_models.formats import read

    live = live_base(base)
    return Study(base, live, None if live else read(base), Patch())


@dataclass(frozen=True, eq=False)
class Study:
    """A base and the changes to it.

    Args:
        base: as it was opened.
        live: the twin that is asked; None where the base is a file.
        network: the base's network; None where a twin holds it.
        changes: in the order in which they are applied.
    """

    base: str
    live: LiveBase | None
    network: Network | None
    changes: Patch

    def edit(self, element: str, *, at: str = "", after: str = "", **columns: Any) -> Study:
        """Set columns of an element.

        Args:
            element: its table and its index, name or id, `*` for all: "line 7", "pump PUMP_1", "load *".
            at: time of day of the change, "18:00".
            after: time since the start of the run, "2h".
            columns: column = value.

        Raises:
            InvalidInput: the element, a time or a value cannot be.
        """
        return self._with(
            [{"set": {"element": element, "column": c, "value": v}} for c, v in columns.items()], at=at, after=after
        )

    def scale(self, element: str, *, at: str = "", after: str = "", **factors: float) -> Study:
        """Multiply columns of an element by factors; arguments as for `edit`."""
        return self._with(
            [{"scale": {"element": element, "column": c, "factor": v}} for c, v in factors.items()], at=at, after=after
        )

    def create(self, element: str, *, at: str = "", after: str = "", **fields: Any) -> Study:
        """Add an element; what is not told has the column's default."""
        table, _, label = element.partition(" ")
        return self._with([{"create": {"table": table, "id": label, "fields": fields}}], at=at, after=after)

    def remove(self, element: str, *, at: str = "", after: str = "") -> Study:
        """Take an element out of the network."""
        return self._with([{"remove": {"element": element}}], at=at, after=after)

    def patch(self, changes: Patch | Path | str) -> Study:
        """Add a patch: one that was read, a TOML file, or TOML text."""
        if isinstance(changes, Path):
            changes = Patch.from_toml(changes.read_text("utf-8"), str(changes))
        elif isinstance(changes, str):
            changes = Patch.from_toml(changes)
        return replace(self, changes=Patch((*self.changes.changes, *changes.changes)))

    def run(self, duration: float = 0.0) -> Run:
        """Solve with all changes made.

        Args:
            duration: of the run [s], each change at its own time; 0 for one instant with all of them made.

        Raises:
            InvalidInput: elements, columns or values that do not exist or cannot be.
            Unsolvable: there is no solution; it says why.
            ClientError: the service refuses, or cannot be reached.
        """
        if self.live is None:
            return self._solved(duration)
        from twin.client import TwinClient

        with TwinClient(self.live.address) as client:
            return _told(self, client.what_if(self.live.network, self.changes.to_toml(), self.live.at, duration))

    async def run_async(self, duration: float = 0.0) -> Run:
        """`run` for event loops: a solve has its own thread, a service is awaited."""
        if self.live is None:
            return await asyncio.to_thread(self._solved, duration)
        from twin.client import AsyncTwinClient

        async with AsyncTwinClient(self.live.address) as client:
            return _told(self, await client.what_if(self.live.network, self.changes.to_toml(), self.live.at, duration))

    def plot(self, ax: Any = None) -> Any:
        """Draw the network's map; returns matplotlib axes.

        Args:
            ax: matplotlib axes to draw on; new ones unless told.
        """
        from twin.plots import draw_network

        return draw_network(self.network, self.base, ax)

    def _with(self, verbs: list[dict[str, Any]], *, at: str, after: str) -> Study:
        when = {name: text for name, text in (("at", at), ("after", after)) if text}
        return self.patch(Patch(tuple(Change.from_table(n, {**verb, **when}) for n, verb in enumerate(verbs, start=1))))

    def _solved(self, duration: float) -> Run:
        from solvers.solve import solve

        assert self.network is not None
        base = self.network
        solution = solve(base, duration_s=duration, changes=self.changes, source=self.base)
        data = solution.unwrap()
        return Run(
            self, data, solution.status, solution.culprits, lambda: alongside(solve(base, duration_s=duration).unwrap(), data)
        )

    def _repr_html_(self) -> str:
        changes = "".join(f"<li><code>{escape(c.told())}</code></li>" for c in self.changes.changes) or "<li>as it is</li>"
        sizes = {} if self.network is None else {n: t.size for n, t in self.network.tables.items() if t.size}
        counts = ", ".join(f"{n} {name}" for name, n in sizes.items())
        return f"<b>{escape(self.base)}</b><p>{escape(counts)}</p><ul>{changes}</ul>"


@dataclass(frozen=True, eq=False)
class Run:
    """What a study came to.

    Args:
        study: what was asked.
        data: the labelled result, as `twin solve` writes it; `time` leads where the run had a duration.
        status: how the solve ended.
        culprits: elements that the status speaks of.
        before: solves the base without the changes.
    """

    study: Study
    data: xr.Dataset
    status: Status
    culprits: tuple[str, ...]
    before: Callable[[], xr.Dataset]

    def compare(self, other: Run | xr.Dataset | None = None) -> Comparison:
        """What differs from another run of the same network, from the base without the changes unless told.

        Args:
            other: the run to stand beside; its values are `before`, ours `after`.
        """
        beside = self.before() if other is None else other.data if isinstance(other, Run) else other
        return compare(beside, self.data)

    def plot(self, column: str = "", ax: Any = None) -> Any:
        """Draw one column on the map, or sorted where the network has none; returns matplotlib axes.

        Args:
            column: such as `bus_vm_pu`; loading of lines or pressure of nodes unless told.
            ax: matplotlib axes to draw on; new ones unless told.
        """
        from twin.plots import draw_result

        return draw_result(self.study.network, self.data, column, ax)

    def _repr_html_(self) -> str:
        concerns = f": {', '.join(self.culprits[:8])}" if self.culprits else ""
        return f"<p><b>{self.status.name}</b>{escape(concerns)}</p>{self.data._repr_html_()}"  # its public face in notebooks


def _told(study: Study, answer: WhatIf) -> Run:
    status = Status[answer.status]
    if not status.usable:
        raise Unsolvable(status, answer.culprits)
    return Run(study, answer.patched, status, answer.culprits, lambda: answer.base)
