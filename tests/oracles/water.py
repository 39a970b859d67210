"""The slow, obvious hydraulics: dense Newton over all flows and heads at given statuses, each law as in the manual.

Reference: L. A. Rossman et al., EPANET 2.2 User Manual, EPA/600/R-20/133 (2020), tables 3.1-3.2 and chapter 3; in feet and
cubic feet per second there, turned to SI here.
"""

import numpy as np

from grid_models.water.network import LinkKind, WaterNetwork

FT, CFS = 0.3048, 0.028317


def loss(network: WaterNetwork, link: int, q: float, setting: float) -> float:
    """Head loss [m] of an open link at flow q [m3/s]; a valve with a setting of nan stands open."""
    kind, row = LinkKind(int(network.link_kind[link])), int(network.link_row[link])
    if kind <= LinkKind.PIPE:
        return pipe_loss(network, row, q)
    if kind == LinkKind.PUMP:
        return -gain(network, row, q, setting)
    valve = network.tables["valve"]
    coefficient = setting if kind == LinkKind.TCV and np.isfinite(setting) else valve["minor_loss"][row]
    return minor_loss(coefficient, valve["diameter_m"][row], q)


def minor_loss(coefficient: float, diameter_m: float, q: float) -> float:
    return 0.02517 * coefficient * (abs(q) / CFS) * (q / CFS) / (diameter_m / FT) ** 4 * FT


def pipe_loss(network: WaterNetwork, row: int, q: float) -> float:
    pipe, formula = network.tables["pipe"], network.options.headloss
    L, d, flow = pipe["length_m"][row] / FT, pipe["diameter_m"][row] / FT, abs(q) / CFS
    rough = pipe["roughness"][row]
    if formula == "H-W":
        h = 4.727 * rough**-1.852 * d**-4.871 * L * flow**1.852
    elif formula == "C-M":
        area, radius = np.pi * d**2 / 4, d / 4
        h = L * (rough * flow / (1.49 * area)) ** 2 / radius**1.333
    else:
        h = darcy_weisbach(rough / pipe["diameter_m"][row], network.options.viscosity_m2_per_s / FT**2, L, d, flow)
    return float(np.sign(q) * h * FT + minor_loss(pipe["minor_loss"][row], pipe["diameter_m"][row], q))


def darcy_weisbach(relative: float, viscosity: float, L: float, d: float, flow: float) -> float:
    """[ft] by Hagen-Poiseuille, Dunlop's cubic, or Swamee-Jain."""
    velocity = 4 * flow / np.pi / d**2
    reynolds = velocity * d / viscosity
    if reynolds == 0:
        return 0.0
    if reynolds < 2000:
        f = 64 / reynolds
    elif reynolds < 4000:
        R = reynolds / 2000
        y2 = relative / 3.7 + 5.74 / 4000**0.9
        y3 = -0.86859 * np.log(y2)
        fa = y3**-2
        fb = fa * (2 - 0.00514215 / (y2 * y3))
        x1, x2, x3, x4 = 7 * fa - fb, 0.128 - 17 * fa + 2.5 * fb, -0.128 + 13 * fa - 2 * fb, 0.032 - 3 * fa + 0.5 * fb
        f = x1 + R * (x2 + R * (x3 + R * x4))
    else:
        f = 0.25 / np.log10(relative / 3.7 + 5.74 / reynolds**0.9) ** 2
    return f * L / d * velocity**2 / 2 / 32.2


def gain(network: WaterNetwork, row: int, q: float, speed: float) -> float:
    """Head [m] that a pump with a one-point or three-point curve adds."""
    curves = network.tables["curve"]
    c = int(curves.rows([str(network.tables["pump"]["head_curve"][row])])[0])
    x, y = curves["x"][c], curves["y"][c]
    if len(x) == 1:
        x, y = np.array([0, x[0], 2 * x[0]]), np.array([1.33334 * y[0], y[0], 0.0])
    c = np.log((y[0] - y[2]) / (y[0] - y[1])) / np.log(x[2] / x[1])
    r = (y[0] - y[1]) / x[1] ** c
    return float(speed**2 * (y[0] - r * np.sign(q) * (abs(q) / speed) ** c))


def balanced(
    network: WaterNetwork, demand: np.ndarray, head: np.ndarray, is_open: np.ndarray, holds: np.ndarray, setting: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Heads [m] and flows [m3/s] at given statuses.

    Args:
        network: of pipes, pumps, and valves that hold a head or a flow, throttle, or stand open.
        demand: (n_node,) [m3/s].
        head: (n_node,) of reservoirs and tanks [m].
        is_open: (n_link,).
        holds: (n_link,) valves in control.
        setting: (n_link,).
    """
    n, m = len(head), len(is_open)
    start, end, z = network.link_from, network.link_to, network.node_elevation_m
    fixed = network.node_table > 0
    H, q = np.where(fixed, head, head[fixed].max()), np.full(m, 1e-2)

    def equations(q: np.ndarray, H: np.ndarray) -> np.ndarray:
        out = np.zeros(m + n)
        for k in range(m):
            kind = network.link_kind[k]
            if not is_open[k]:
                out[k] = q[k]
            elif holds[k] and kind == LinkKind.FCV:
                out[k] = q[k] - setting[k]
            elif holds[k]:
                held = end[k] if kind == LinkKind.PRV else start[k]
                out[k] = H[held] - z[held] - setting[k]
            else:
                out[k] = loss(network, k, q[k], setting[k]) - (H[start[k]] - H[end[k]])
        np.add.at(out, m + end, q)
        np.add.at(out, m + start, -q)
        out[m:] -= demand
        out[m:][fixed] = (H - head)[fixed]
        return out

    x = np.concatenate([q, H])
    for _ in range(60):
        f = equations(x[:m], x[m:])
        if np.abs(f).max() < 1e-11:
            break
        J = np.zeros((m + n, m + n))
        for c in range(m + n):
            step = 1e-7 * max(abs(x[c]), 1e-3)
            moved = x.copy()
            moved[c] += step
            J[:, c] = (equations(moved[:m], moved[m:]) - f) / step
        for k in np.flatnonzero(is_open & ~holds):
            J[k, k] = max(J[k, k], 1e-6)  # a law without slope, where nothing flows
        x = x - np.linalg.solve(J, f)
    return x[m:], x[:m]
