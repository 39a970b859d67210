"""Likelihood ratios by a Cholesky factor: small dense work, thousands of times a day, on one core.

    R = L L',    w = L^-1 e,    W = L^-1 S,    product_j = w' W_j = e' R^-1 s_j,    power_j = |W_j|^2 = s_j' R^-1 s_j

BLAS hands matrices of this size to several threads; beside other work they wait for each other longer than they compute.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.water.plan import Floats

NO_METER_TELLS = 1e-8  # variance of a tenth of a millimetre


def whitened(R: Floats, columns: Floats) -> Floats:
    """(n, m) L^-1 of columns.

    Args:
        R: (n, n) covariance.
        columns: (n, m).

    Raises:
        LinAlgError: R is no covariance.
    """
    L, out = np.array(R, dtype=np.float64, order="C"), np.array(columns, dtype=np.float64, order="C")
    if not _whiten(L, out, NO_METER_TELLS):
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    return out


def projected(R: Floats, e: Floats, signature: Floats) -> tuple[Floats, Floats]:
    """(m,) e' R^-1 s_j and s_j' R^-1 s_j.

    Args:
        R: (n, n) covariance.
        e: (n,) what is to be explained.
        signature: (n, m) columns s_j.
    """
    white = whitened(R, np.column_stack([signature, e]))
    product, power = np.zeros(white.shape[1]), np.zeros(white.shape[1])
    _project(white, product, power)
    return product[:-1], power[:-1]


@kernel
def _whiten(L: Floats, columns: Floats, least: float) -> bool:
    """Factor in place, and solve L X = columns in place; whether all pivots were positive.

    Args:
        L: (n, n) the covariance; becomes its factor in the lower triangle.
        columns: (n, m).
        least: added to the diagonal.
    """
    n, m = columns.shape
    for i in range(n):
        for j in range(i):
            s = L[i, j]
            for k in range(j):
                s -= L[i, k] * L[j, k]
            L[i, j] = s * L[j, j]
        s = L[i, i] + least
        for k in range(i):
            s -= L[i, k] * L[i, k]
        if not s > 0.0:
            return False
        L[i, i] = 1.0 / np.sqrt(s)  # the reciprocal of the pivot
        row = columns[i]
        for k in range(i):
            l, above = L[i, k], columns[k]
            for c in range(m):
                row[c] -= l * above[c]
        for c in range(m):
            row[c] *= L[i, i]
    return True


@kernel
def _project(white: Floats, product: Floats, power: Floats) -> None:
    """Add up product and power of all columns, e being the last."""
    n, m = white.shape
    for i in range(n):
        row = white[i]
        e = row[m - 1]
        for c in range(m):
            product[c] += e * row[c]
            power[c] += row[c] * row[c]


@kernel
def add_hours(ring: NDArray[np.float32], at: NDArray[np.int64], weight: Floats, out: NDArray[np.float32]) -> None:
    """Add the weighted sum of chosen hours.

    Args:
        ring: (n_ring, n) values of each hour.
        at: (k,) which.
        weight: (k,) of each.
        out: (n,) is added to.
    """
    for i in range(len(at)):
        row, w = ring[at[i]], np.float32(weight[i])
        for c in range(len(out)):
            out[c] += w * row[c]
