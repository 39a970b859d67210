"""What a screening finds: a row for each outage, and a sparse table of violations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from solvers.power.admittance import FloatArray
from solvers.power.newton import LoadFlow
from solvers.power.outage_choice import Outage
from solvers.solution import Status


@dataclass(frozen=True, eq=False)
class Screening:
    """The outcome of each outage.

    Args:
        labels: (n_outage,) "line 7".
        status: (n_outage,) object, a `Status` each.
        islands: (n_outage,) parts with buses that lose every source.
        lost_load_mw: (n_outage,) load on them.
        max_loading_percent: (n_outage,) nan where not solved.
        max_loading_element: (n_outage,) "line 3".
        min_vm_pu: (n_outage,).
        max_vm_pu: (n_outage,).
        mismatch: (n_outage,) largest left [pu].
        violation_outage: (n_violation,) row of the outage.
        violation_which: (n_violation,) row of `elements`.
        violation_value: (n_violation,) loading [%] or voltage [pu].
        elements: (n_element,) "line 3" or "bus 12": branches and buses of the base case.
        base: the base case.
    """

    labels: NDArray[np.object_]
    status: NDArray[np.object_]
    islands: NDArray[np.int64]
    lost_load_mw: FloatArray
    max_loading_percent: FloatArray
    max_loading_element: NDArray[np.object_]
    min_vm_pu: FloatArray
    max_vm_pu: FloatArray
    mismatch: FloatArray
    violation_outage: NDArray[np.int64]
    violation_which: NDArray[np.int64]
    violation_value: FloatArray
    elements: NDArray[np.object_]
    base: LoadFlow

    @property
    def violation_element(self) -> NDArray[np.object_]:
        """(n_violation,) "line 3" or "bus 12"; made when asked for."""
        return self.elements[self.violation_which]

    def violating(self) -> Screening:
        """The outages that violate a limit or are not solved, alone."""
        keep = ~np.array([s.usable for s in self.status], dtype=bool)
        keep[self.violation_outage] = True
        rows = np.flatnonzero(keep)
        each = {
            f.name: getattr(self, f.name)[rows]
            for f in fields(self)
            if not f.name.startswith("violation_") and f.name not in ("elements", "base")
        }
        return replace(self, **each, violation_outage=np.searchsorted(rows, self.violation_outage))

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """By the names of the dataset."""
        return {
            "outage_status": np.array([s.name for s in self.status], dtype=object),
            "outage_islands": self.islands,
            "lost_load_mw": self.lost_load_mw,
            "max_loading_percent": self.max_loading_percent,
            "max_loading_element": self.max_loading_element,
            "min_vm_pu": self.min_vm_pu,
            "max_vm_pu": self.max_vm_pu,
            "outage_mismatch_pu": self.mismatch,
            "violation_outage": self.labels[self.violation_outage],
            "violation_element": self.violation_element,
            "violation_value": self.violation_value,
        }


class Sheet:
    """The columns of a screening while it is filled."""

    def __init__(self, n: int, names: NDArray[np.object_]) -> None:
        self.status = np.full(n, Status.NOT_CONVERGED, dtype=object)
        self.islands = np.zeros(n, dtype=np.int64)
        self.lost = np.zeros(n)
        self.extremes = np.full((n, 3), np.nan)
        self.element = np.full(n, "", dtype=object)
        self.mismatch = np.full(n, np.nan)
        self.retry = np.zeros(n, dtype=bool)
        self.names = names
        self.violations: list[tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]] = []

    def done(self, todo: Sequence[Outage], base: LoadFlow) -> Screening:
        """The screening, its violations in order."""
        labels = np.array([" + ".join([f"{table} {index}" for table, index in outage]) for outage in todo], dtype=object)
        none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
        outage, which, value = (np.concatenate(parts) for parts in zip(*(self.violations or [none]), strict=True))
        order = np.argsort(outage * max(len(self.names), 1) + which, kind="stable")
        return Screening(
            labels, self.status, self.islands, self.lost, 100.0 * self.extremes[:, 0], self.element, self.extremes[:, 1],
            self.extremes[:, 2], self.mismatch, outage[order], which[order], value[order], self.names, base,
        )  # fmt: skip
