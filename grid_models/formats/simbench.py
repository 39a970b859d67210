"""SimBench's German benchmark grids, through the package `simbench` (380 MB, so it is not installed with us)."""

from __future__ import annotations

from importlib.util import find_spec

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.pandapower import from_pandapower
from grid_models.power.network import PowerNetwork


def read_simbench(code: str) -> PowerNetwork:
    """A SimBench grid such as `1-MV-urban--0-sw`.

    Raises:
        InvalidInput: `simbench` is not installed, or has no such grid.
    """
    if find_spec("simbench") is None:
        raise InvalidInput([Issue("simbench network", "", (code,), "needs `pip install simbench` (380 MB)")])
    import simbench

    try:
        net = simbench.get_simbench_net(code)
    except (ValueError, KeyError, FileNotFoundError) as error:
        raise InvalidInput([Issue("simbench network", "", (code,), f"is unknown: {error}")]) from None
    return from_pandapower(net, file=f"simbench:{code}")
