"""A load flow as the MATPOWER User's Manual defines it (sections 3.1 to 4.1), on the case's own matrices.

Currents [I_f; I_t] = [y_ff y_ft; y_tf y_tt] [V_f; V_t] of each branch, taps and shifts on its from side; bus types by
generators in service; Newton's method on polar voltages with numbers straight out of the Jacobian's formulas.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve


def bus_types(bus, gen):
    """Rows of reference, PV and PQ buses; the first PV bus stands in where no reference has a generator."""
    number = {int(n): row for row, n in enumerate(bus[:, 0])}
    held = {number[int(g[0])] for g in gen if g[7] > 0}
    ref = [row for row in held if bus[row, 1] == 3]
    pv = sorted(row for row in held if bus[row, 1] == 2)
    if not ref and pv:
        ref, pv = pv[:1], pv[1:]
    pq = [row for row in range(len(bus)) if row not in {*ref, *pv} and bus[row, 1] != 4]
    return sorted(ref), pv, pq


def two_ports(branch):
    """Rows of (y_ff, y_ft, y_tf, y_tt) [pu]."""
    out = []
    for br in branch:
        series, charging = 1 / (br[2] + 1j * br[3]), 0.5j * br[4]
        tap = (br[8] or 1.0) * np.exp(1j * np.pi / 180 * br[9])
        out.append(((series + charging) / abs(tap) ** 2, -series / np.conj(tap), -series / tap, series + charging))
    return out


def y_bus(base_mva, bus, branch):
    """The admittance matrix [pu]."""
    number = {int(n): row for row, n in enumerate(bus[:, 0])}
    y = np.zeros(len(bus), dtype=complex)
    alive = bus[:, 1] != 4
    y[alive] = (bus[alive, 4] + 1j * bus[alive, 5]) / base_mva
    rows, columns, values = [*range(len(bus))], [*range(len(bus))], [*y]
    live = [br for br in branch if br[10] > 0 and alive[number[int(br[0])]] and alive[number[int(br[1])]]]
    for br, two_port in zip(live, two_ports(live), strict=True):
        f, t = number[int(br[0])], number[int(br[1])]
        rows += [f, f, t, t]
        columns += [f, t, f, t]
        values += two_port
    return sp.csr_array((values, (rows, columns)), shape=(len(bus), len(bus)))


def load_flow(base_mva, bus, gen, branch, tolerance=1e-11, start=None):
    """(n_bus,) complex [pu], by row of the bus matrix; nan at isolated buses."""
    number = {int(n): row for row, n in enumerate(bus[:, 0])}
    ref, pv, pq = bus_types(bus, gen)
    s = -(bus[:, 2] + 1j * bus[:, 3]) / base_mva
    v = np.ones(len(bus), dtype=complex) if start is None else start.copy()
    for g in gen[gen[:, 7] > 0]:
        row = number[int(g[0])]
        s[row] += (g[1] + 1j * g[2]) / base_mva
        if row in {*ref, *pv}:
            v[row] *= g[5] / abs(v[row])
    v[ref] = np.abs(v[ref]) * np.exp(1j * np.pi / 180 * bus[ref, 8])
    y, pvpq = y_bus(base_mva, bus, branch), [*pv, *pq]
    for _ in range(30):
        missing = v * np.conj(y @ v) - s
        f = np.r_[missing[pvpq].real, missing[pq].imag]
        if np.max(np.abs(f), initial=0.0) < tolerance:
            break
        diagonal, current, unit = sp.diags_array(v), sp.diags_array(y @ v), sp.diags_array(v / np.abs(v))
        d_angle = (1j * diagonal @ np.conj(current - y @ diagonal)).tocsr()
        d_size = (diagonal @ np.conj(y @ unit) + np.conj(current) @ unit).tocsr()
        top = sp.hstack([d_angle[pvpq][:, pvpq].real, d_size[pvpq][:, pq].real])
        bottom = sp.hstack([d_angle[pq][:, pvpq].imag, d_size[pq][:, pq].imag])
        step = spsolve(sp.vstack([top, bottom]).tocsc(), -f)
        angle, size = np.angle(v), np.abs(v)
        angle[pvpq] += step[: len(pvpq)]
        size[pq] += step[len(pvpq) :]
        v = size * np.exp(1j * angle)
    v[bus[:, 1] == 4] = np.nan
    return v
