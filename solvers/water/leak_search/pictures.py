"""Pictures of leaks held against a window's evidence, each with its own error.

With R what noise, bias and followed leaks may have made, and q^2 S_j how wrong the picture s_j of a leak of q is,

    R_j = R + q_j^2 S_j,    q_j = s_j' R_j^-1 e / s_j' R_j^-1 s_j,
    evidence_j = -(e - q_j s_j)' R_j^-1 (e - q_j s_j) - ln det R_j

The error belongs to the pipe: where the model knows little, a leak explains more loosely, and for more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.water.leak_search.ratio_tests import Window
from solvers.water.leak_search.whitening import NO_METER_TELLS
from solvers.water.plan import Floats

_ROUNDS = 2  # the error depends on the flow, which depends on the error


@dataclass(frozen=True, eq=False)
class Judged:
    """What pictures explain.

    Args:
        flow: (n,) [m3/h].
        z: (n,).
        evidence: (n,).
    """

    flow: Floats
    z: Floats
    evidence: Floats


def judge(w: Window, signature: Floats, error: Floats, flow: Floats) -> Judged:
    """Hold pictures against a window's evidence.

    Args:
        w: the evidence.
        signature: (n_output, n) changes of the outputs per m3/h of leak.
        error: (n, n_output, n_output) covariance of each, per (m3/h)^2.
        flow: (n,) about how much it is [m3/h].
    """
    s = np.ascontiguousarray(signature.T)
    noise = w.R + NO_METER_TELLS * np.eye(len(w.e))
    for _ in range(_ROUNDS):
        R = noise + (flow**2)[:, None, None] * error
        solved = np.linalg.solve(R, np.stack([np.broadcast_to(w.e, s.shape), s], axis=2))
        product = np.einsum("ni,ni->n", s, solved[:, :, 0])
        power = np.einsum("ni,ni->n", s, solved[:, :, 1]) + 1e-12
        flow = np.maximum(product / power, 0.0)
    left = solved[:, :, 0] @ w.e - flow * (2.0 * product - flow * power)
    return Judged(product / power, product / np.sqrt(power), -left - np.linalg.slogdet(R)[1])
