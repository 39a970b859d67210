"""What a solved state answers to small changes of demand: heads and flows, at the price of a back-substitution each.

Around a solved state, heads answer linearly to demands: dH = S dd. A column costs one back-substitution, and so does a
row. Valves in control make S unsymmetric: with A the matrix of gradient.py, h the node a valve v holds and o the node on
its other side, the share of a demand that reaches o through v is c_v = A^-1 sum_k p_hk e_k (k: neighbours of h), valves in
series multiply, C = (I - M)^-1 c with M_vw = c_v[o_w], and

    dH = -A^-1 (dd + sum_v e_o(v) C_v dd)
"""

from __future__ import annotations

import numpy as np

from solvers.accelerate import kernel
from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.linalg.ldl_block import ldl_solve_block
from solvers.water.gradient import assemble, evaluate_links, evaluate_nodes, evaluate_outflows
from solvers.water.plan import CLOSED, PRV, PSV, Floats, Index, WaterPlan
from solvers.water.state import Solver, take_outflows
from solvers.water.steady import Boundary, Hydraulics, Scratch

_BLOCK = 64  # right-hand sides that stay in the cache together


@kernel
def factor_around(solver: Solver, status: Index, setting: Floats, demand: Floats, head: Floats, q: Floats) -> None:
    """Leave the factor of A, and with it p and the nodes that are held, in the work space.

    Args:
        solver: of the network; its work space has the parts and what is served.
        status: (n_link,).
        setting: (n_link,).
        demand: (n_node,) [m3/s], 0 at reservoirs and tanks.
        head: (n_node,) [m].
        q: (n_link,) [m3/s].
    """
    net, w = solver.net, solver.work
    take_outflows(net, w, head, 0.0)
    evaluate_links(net, w, status, setting, head, q)
    evaluate_outflows(net, w, demand, head)
    evaluate_nodes(net, w, status, setting, head, q)
    assemble(net, w, status, setting, q)
    ldl_factor(net.up, net.uj, net.target, w.a, w.original, 0.0)


class Linear:
    """A solved state's answers to small changes of demand.

    Args:
        plan: of the network.
        scratch: a worker's; it is overwritten.
        boundary: what was solved.
        at: the solution.
    """

    def __init__(self, plan: WaterPlan, scratch: Scratch, boundary: Boundary, at: Hydraulics) -> None:
        laws, w = plan.laws, scratch.work
        self._plan = plan
        head = np.where(np.isfinite(at.head_m), at.head_m, laws.elevation)
        q = np.where(at.status <= CLOSED, 0.0, at.flow_m3_per_s)
        w.parts.grounded[:] = at.supplied
        w.parts.pin[:], w.parts.scale[:] = ~at.supplied, at.supplied
        w.served[:] = at.demand_m3_per_s
        demand = np.where(laws.row >= 0, boundary.demand_m3_per_s, 0.0)
        factor_around(scratch.solver(plan), at.status, boundary.setting, demand, head, q)
        self._a, self._p = w.a.copy(), w.p.copy()
        self._free = (laws.row >= 0) & ~w.held
        p = self._p
        holds = (p == 0.0) & np.isin(laws.kind, (PRV, PSV)) & (at.status > CLOSED)
        self._valves = np.flatnonzero(holds)
        prv = laws.kind[self._valves] == PRV
        self._held = np.where(prv, laws.end[self._valves], laws.start[self._valves])
        self._other = np.where(prv, laws.start[self._valves], laws.end[self._valves])
        self._carried = self._carry()

    def heads(self, nodes: Index) -> Floats:
        """dH_i / d demand_j [m per m3/s].

        Args:
            nodes: (k,) whose heads.

        Returns:
            (k, n_node): the change of each head by a demand at each node.
        """
        laws, factor = self._plan.laws, self._plan.factor
        b = np.zeros((factor.n, len(nodes)))
        free = np.flatnonzero(self._free[nodes])
        b[laws.row[nodes[free]], free] = 1.0
        ldl_solve_block(laws.up, laws.uj, self._a, b)
        z = np.where(laws.row >= 0, b[np.maximum(laws.row, 0)].T, 0.0)
        return np.asarray(-z - z[:, self._other] @ self._carried)

    def flows(self, links: Index) -> Floats:
        """(k, n_node) dq_k / d demand_j of chosen links [1]."""
        laws = self._plan.laws
        ends = self.heads(np.concatenate([laws.start[links], laws.end[links]]))
        out = self._p[links][:, None] * (ends[: len(links)] - ends[len(links) :])
        for i, link in enumerate(links.tolist()):
            if self._p[link] == 0.0 and link in self._valves:
                out[i] = self._carried[int(np.flatnonzero(self._valves == link)[0])]
        return np.asarray(out)

    def own(self, links: Index) -> Floats:
        """(k,) dq_l of each link l itself per m3/s that is fed in at its start and drawn at its end [1]; none holds a valve."""
        laws, out = self._plan.laws, np.zeros(len(links))
        for first in range(0, len(links), _BLOCK):
            some = links[first : first + _BLOCK]
            rows, start, end = np.arange(len(some)), laws.start[some], laws.end[some]
            drawn = np.zeros((len(some), len(laws.row)))
            drawn[rows, end] += 1.0
            drawn[rows, start] -= 1.0
            head = self.head_changes(drawn)
            out[first : first + _BLOCK] = self._p[some] * (head[rows, start] - head[rows, end])
        return out

    def head_changes(self, demand: Floats) -> Floats:
        """(k, n_node) changes of heads [m] by (k, n_node) changes of demands [m3/s]."""
        laws, factor = self._plan.laws, self._plan.factor
        drawn = demand.T.copy()
        np.add.at(drawn, self._other, self._carried @ demand.T)
        b = np.zeros((factor.n, len(demand)))
        b[laws.row[self._free]] = drawn[self._free]
        ldl_solve_block(laws.up, laws.uj, self._a, b)
        return np.asarray(np.where(laws.row >= 0, -b[np.maximum(laws.row, 0)].T, 0.0))

    def _solve_at(self, nodes: Index, values: Floats) -> Floats:
        """(n_node,) A^-1 b with b given at some nodes; zero at fixed ones."""
        laws, factor = self._plan.laws, self._plan.factor
        b = np.zeros(factor.n)
        free = self._free[nodes]
        np.add.at(b, laws.row[nodes[free]], values[free])
        ldl_solve(laws.up, laws.uj, self._a, b)
        return np.where(laws.row >= 0, b[np.maximum(laws.row, 0)], 0.0)

    def _carry(self) -> Floats:
        """(n_valve, n_node) C: how much more a valve in control carries per unit of demand at each node."""
        laws = self._plan.laws
        direct = np.zeros((len(self._valves), len(laws.row)))
        for v, held in enumerate(self._held.tolist()):
            links = np.flatnonzero(((laws.start == held) | (laws.end == held)) & (self._p > 0))
            far = np.where(laws.start[links] == held, laws.end[links], laws.start[links])
            direct[v] = self._solve_at(far, self._p[links])
            direct[v, held] = 1.0
        chained = direct[:, self._other]
        np.fill_diagonal(chained, 0.0)
        return np.asarray(np.linalg.solve(np.eye(len(self._valves)) - chained, direct)) if len(direct) else direct
