"""Thyristor-controlled reactors: what a firing angle does to a susceptance, and back.

A capacitor of reactance x_c (negative) beside a reactor x_l that thyristors let through from the firing angle alpha on has

    b(alpha) = (2 (pi - alpha) + sin 2 alpha + pi x_l / x_c) / (pi x_l),      y = -j b,

which falls from 1/x_l + 1/x_c at 90 degrees to 1/x_c at 180. An SVC is such an admittance at a bus, a TCSC one between
two buses.

Reference: E. Acha et al., "FACTS: Modelling and Simulation in Power Networks" (2004), ch. 5.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_HALVINGS = 60


def susceptance(angle_degree: Floats, x_l_ohm: Floats, x_cvar_ohm: Floats) -> Floats:
    """(n,) b at firing angles [S].

    >>> susceptance(np.array([90.0, 180.0]), np.array([1.0, 1.0]), np.array([-10.0, -10.0])).round(9).tolist()
    [0.9, -0.1]
    """
    alpha = np.deg2rad(angle_degree)
    return (2.0 * (np.pi - alpha) + np.sin(2.0 * alpha) + np.pi * x_l_ohm / x_cvar_ohm) / (np.pi * x_l_ohm)


def firing_angle_degree(b: Floats, x_l_ohm: Floats, x_cvar_ohm: Floats) -> Floats:
    """(n,) the angle of each susceptance [S]; beyond 90 .. 180 degrees the formula is carried on, as pandapower does.

    >>> x_l, x_cvar = np.array([1.0, 1.0]), np.array([-10.0, -10.0])
    >>> firing_angle_degree(susceptance(np.array([100.0, 150.0]), x_l, x_cvar), x_l, x_cvar).round(9).tolist()
    [100.0, 150.0]
    """
    # 2 (pi - alpha) + sin 2 alpha lies within 1 of its line, and falls all the way.
    wanted = np.pi * x_l_ohm * b - np.pi * x_l_ohm / x_cvar_ohm
    low, high = np.pi - 0.5 * (wanted + 1.0), np.pi - 0.5 * (wanted - 1.0)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = 2.0 * (np.pi - middle) + np.sin(2.0 * middle) > wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.degrees(0.5 * (low + high))
