"""A solved base case and its factored Jacobian: where other injections begin, one (near.py) or many (batch.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import PQ, SLACK, BusBranch
from solvers.linalg.lu import lu_factor
from solvers.plan import check_version
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan, drawn, factor, pairs, prepare
from solvers.power.chord import SingleArray
from solvers.power.newton import LoadFlow, jacobian
from solvers.power.passive import Core, core

_SAME_PU = 1e-12  # rounding of a set-point that was turned through a few rotations


@dataclass(frozen=True, eq=False)
class Base:
    """A base case and its Jacobian's factor in float32, shared by all lanes and threads.

    Args:
        plan: of the topology.
        factor: of the parameters.
        core: what the lanes solve: the network without its passive buses.
        v: (n_bus,) complex [pu], where the lanes begin.
        s_power: (n_bus,) complex [pu], injected in the base case.
        s_current: (n_bus,) complex [pu], injection proportional to |V|; the same in every scenario.
        drawn: (n_free, 2) by position of the core [pu], what network and voltage-dependent injections draw at `v`.
        lp: (n_free + 1,) rows of L.
        lj: (n_upper,) their columns, ascending.
        lower: (4 n_upper,) blocks of L by rows, as the forward substitution meets them.
        upper: (4 (n_free + n_upper),) blocks of U and pivots as the backward substitution meets them.
    """

    plan: Plan
    factor: Factor
    core: Core
    v: ComplexArray
    s_power: ComplexArray
    s_current: ComplexArray
    drawn: FloatArray
    lp: NDArray[np.int32]
    lj: NDArray[np.int32]
    lower: SingleArray
    upper: SingleArray

    def serves(self, model: BusBranch) -> bool:
        """Whether a model differs from the base case in constant power alone."""
        held = model.bus_kind != PQ
        return (
            self.factor.topology_version == model.topology_version
            and self.factor.parameter_version == model.parameter_version
            and np.array_equal(self.s_current, model.s_current)
            and np.allclose(np.abs(self.v[held]), model.v_set[held], rtol=0.0, atol=_SAME_PU)
            and np.allclose(self.v[model.bus_kind == SLACK], model.v_start[model.bus_kind == SLACK], rtol=0.0, atol=_SAME_PU)
        )


def base_case(
    plan: Plan, admittances: Factor, injections: Injections, v: ComplexArray, *, injects: NDArray[np.bool_] | None = None
) -> Base:
    """Factor the Jacobian of a solved base case for all scenarios near it.

    Args:
        plan: of the topology.
        admittances: of the parameters.
        injections: of the base case.
        v: (n_bus,) complex [pu], its solution.
        injects: (n_bus,) buses at which some scenario may inject; those of the base case if not given. The others leave
            by Kron reduction (passive.py).

    Raises:
        StaleVersion: plan and factor do not belong together.
    """
    check_version("factor", admittances.topology_version, plan.topology_version)
    if injects is None:
        injects = (injections.s_power != 0.0) | (injections.s_current != 0.0)
    inner = core(plan, admittances, injects)
    sym = inner.plan.symbolic
    a = jacobian(inner.plan, inner.factor, injections, v)
    lu_factor(sym.up, sym.uj, sym.target, a)
    n, n_upper = sym.n, sym.n_upper
    # Rows from the last one; in each its blocks of U as they stand, then its inverted pivot.
    row = np.r_[np.arange(n), np.repeat(np.arange(n), np.diff(sym.up))]
    backward = np.lexsort((np.arange(n + n_upper) < n, -row))
    forward = np.argsort(sym.uj, kind="stable")
    return Base(
        plan=plan,
        factor=admittances,
        core=inner,
        v=v,
        s_power=injections.s_power,
        s_current=injections.s_current,
        drawn=drawn_free(inner, injections.s_current, v),
        lp=np.searchsorted(sym.uj[forward], np.arange(n + 1)).astype(np.int32),
        lj=row[n:][forward].astype(np.int32),
        lower=np.ascontiguousarray(a[n + n_upper :][forward].astype(np.float32).ravel()),
        upper=np.ascontiguousarray(a[backward].astype(np.float32).ravel()),
    )


def base_of(flow: LoadFlow, *, injects: NDArray[np.bool_] | None = None) -> Base:
    """The base case of a solved load flow, its plan and factor made anew; `injects` as in `base_case`."""
    plan = prepare(flow.model)
    injections = Injections(flow.model.s_power, flow.model.s_current)
    return base_case(plan, factor(plan, flow.model), injections, flow.v, injects=injects)


def drawn_free(inner: Core, s_current: ComplexArray, v: ComplexArray) -> FloatArray:
    """(n_free, 2) by position of a core [pu]: what network and voltage-dependent injections draw at `v`."""
    return pairs((drawn(inner.plan, inner.factor, v) - s_current * np.abs(v))[inner.plan.bus[: inner.plan.symbolic.n]])
