"""A run's state in a file, to go on bit for bit, in another process or on another day.

The file is numpy's .npz: time, levels, statuses, settings, the last hydraulics, and the revision of the network they belong to.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.water.extended import SimulationState
from solvers.water.steady import Hydraulics

_OWN = ("time_s", "tank_level_m", "status", "setting")


def write_state(network: WaterNetwork, state: SimulationState, path: Path) -> None:
    """Write a state.

    >>> from tempfile import TemporaryDirectory
    >>> from grid_models.library.water import pumped_tank
    >>> from solvers.water.extended import Simulation
    >>> run = Simulation(pumped_tank())
    >>> solution = run.solve()
    >>> with TemporaryDirectory() as folder:
    ...     write_state(run.network, run.state, Path(folder, "state.npz"))
    ...     again = Simulation(run.network, read_state(run.network, Path(folder, "state.npz")))
    >>> again.state.found.head_m.tobytes() == solution.value.head_m.tobytes()
    True
    """
    arrays: dict[str, Any] = {name: getattr(state, name) for name in _OWN}
    if state.found is not None:
        arrays |= {f"found_{f.name}": getattr(state.found, f.name) for f in fields(Hydraulics)}
    with path.open("wb") as file:
        np.savez(file, revision=np.array(network.revision), **arrays)


def read_state(network: WaterNetwork, path: Path) -> SimulationState:
    """Read a state.

    Raises:
        InvalidInput: no such file, no state, or the state of another network.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays["revision"]) != network.revision:
            raise InvalidInput([Issue("", "", (network.name,), "the state belongs to another network", file=str(path))])
        found = None
        if "found_head_m" in arrays:
            found = Hydraulics(**{f.name: arrays[f"found_{f.name}"] for f in fields(Hydraulics)})
        own = {name: arrays[name] for name in _OWN}
        return SimulationState(**own | {"time_s": int(own["time_s"])}, found=found)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InvalidInput([Issue("", "", (), f"is no state of a run: {error}", file=str(path))]) from None
