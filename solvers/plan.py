"""What is computed once and used many times, and why it had to be computed again.

Every solver works in three steps: `prepare(model) -> Plan` once per topology, `factor(plan, model) -> Factor` once per
set of parameters, `solve(plan, factor, scratch, ...)` for each injection. Plans and factors are immutable and shared
by forks and threads; a scratch is mutable, belongs to one worker, and is never stored. Versions are content hashes, so
that a thousand forks which differ in loads only find one plan and one factor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from enum import Enum
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import numpy as np


class RebuildReason(Enum):
    """Why earlier work could not be reused."""

    FIRST_PLAN = "plan: first solve"
    TOPOLOGY_CHANGED = "plan: topology changed"
    FIRST_FACTOR = "factor: first solve of this plan"
    PARAMETERS_CHANGED = "factor: parameters changed"
    HARDER_START = "start: the given start did not lead to a solution"
    FAR_FROM_BASE = "Jacobian: the base case's did not lead to a solution"
    ANOTHER_BASE = "Jacobian: the base case is of other parameters, set-points or currents"


class StaleVersion(ValueError):
    """A plan, factor and model that do not belong together."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(f"{what}: made for version {expected[:12]}, used with {found[:12]}; make it anew")


class Versioned(Protocol):
    """A model that says by content hash what its plan and its factor depend on."""

    @property
    def topology_version(self) -> str:
        """Content hash of what a plan depends on."""

    @property
    def parameter_version(self) -> str:
        """Content hash of what a factor depends on."""


def check_version(what: str, expected: str, found: str) -> None:
    """Refuse to combine parts of different versions.

    Raises:
        StaleVersion: the versions differ.
    """
    if expected != found:
        raise StaleVersion(what, expected, found)


def size_bytes(part: object) -> int:
    """Bytes held by the arrays of a (nested) dataclass."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    if is_dataclass(part) and not isinstance(part, type):
        return sum(size_bytes(getattr(part, f.name)) for f in fields(part))
    return 0


ModelT = TypeVar("ModelT", bound=Versioned)
PlanT = TypeVar("PlanT")
FactorT = TypeVar("FactorT")


class Reuse(Generic[ModelT, PlanT, FactorT]):
    """Plans and factors by version, least recently used out first when the bound on bytes is passed.

    Args:
        prepare: makes a plan for a model.
        factor: makes a factor for a plan and a model.
        bound_bytes: of all plans and factors held; the last used pair always stays.
    """

    def __init__(
        self, prepare: Callable[[ModelT], PlanT], factor: Callable[[PlanT, ModelT], FactorT], bound_bytes: int = 1 << 28
    ) -> None:
        self._prepare = prepare
        self._factor = factor
        self._bound = bound_bytes
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def find(self, model: ModelT) -> tuple[PlanT, FactorT, tuple[RebuildReason, ...]]:
        """The plan and factor of a model, and why they were made if they were not at hand."""
        topology, parameters = model.topology_version, model.parameter_version
        reasons: list[RebuildReason] = []
        with self._lock:
            first = not self._held
            plan = self._take(topology)
            factor = self._take((topology, parameters))
        if plan is None:
            plan = self._prepare(model)
            reasons.append(RebuildReason.FIRST_PLAN if first else RebuildReason.TOPOLOGY_CHANGED)
        if factor is None:
            factor = self._factor(plan, model)
            reasons.append(RebuildReason.FIRST_FACTOR if reasons else RebuildReason.PARAMETERS_CHANGED)
        if reasons:
            with self._lock:
                self._keep(topology, plan)
                self._keep((topology, parameters), factor)
        return plan, factor, tuple(reasons)

    def _take(self, key: Hashable) -> Any:
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def _keep(self, key: Hashable, part: Any) -> None:
        if key not in self._held:
            self._bytes += size_bytes(part)
        self._held[key] = part
        self._held.move_to_end(key)
        while self._bytes > self._bound and len(self._held) > 2:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= size_bytes(dropped)
