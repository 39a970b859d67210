"""The slow, obvious load flow: dense Newton in polar coordinates, each formula as in the book.

Reference: R. D. Zimmerman, "AC power flows, generalized OPF costs and their derivatives using complex matrix
notation", MATPOWER technical note 2 (2010), eqs. (11)-(14).
"""

import numpy as np

from grid_models.power.bus_branch import PV, SLACK, BusBranch


def admittance(model: BusBranch) -> np.ndarray:
    """(n_bus, n_bus) complex [pu]."""
    Y = np.diag(model.y_shunt).astype(complex)
    for f, t, ff, ft, tf, tt in zip(
        model.branch_from, model.branch_to, model.y_ff, model.y_ft, model.y_tf, model.y_tt, strict=True
    ):
        Y[f, f] += ff
        Y[f, t] += ft
        Y[t, f] += tf
        Y[t, t] += tt
    return Y


def missing_power(model: BusBranch, Y: np.ndarray, V: np.ndarray) -> np.ndarray:
    """(n_bus,) complex [pu]: what the network draws beyond what is injected."""
    return V * np.conj(Y @ V) - model.s_power - model.s_current * np.abs(V)


def load_flow(model: BusBranch, iterations: int = 30) -> np.ndarray:
    """(n_bus,) complex [pu]."""
    Y, V = admittance(model), model.v_start.astype(complex)
    angles = np.flatnonzero(model.bus_kind != SLACK)
    magnitudes = np.flatnonzero((model.bus_kind != SLACK) & (model.bus_kind != PV))
    for _ in range(iterations):
        S = missing_power(model, Y, V)
        F = np.r_[S[angles].real, S[magnitudes].imag]
        if np.max(np.abs(F), initial=0.0) < 1e-12:
            break
        D, I, E = np.diag(V), np.diag(Y @ V), np.diag(V / np.abs(V))
        dS_dangle = 1j * D @ np.conj(I - Y @ D)
        dS_dmagnitude = D @ np.conj(Y @ E) + np.conj(I) @ E - np.diag(model.s_current)
        J = np.block(
            [
                [dS_dangle[np.ix_(angles, angles)].real, dS_dmagnitude[np.ix_(angles, magnitudes)].real],
                [dS_dangle[np.ix_(magnitudes, angles)].imag, dS_dmagnitude[np.ix_(magnitudes, magnitudes)].imag],
            ]
        )
        step = np.linalg.solve(J, -F)
        angle, magnitude = np.angle(V), np.abs(V)
        angle[angles] += step[: len(angles)]
        magnitude[magnitudes] += step[len(angles) :]
        V = magnitude * np.exp(1j * angle)
    return V
