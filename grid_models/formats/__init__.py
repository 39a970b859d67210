"""Reading and writing networks. A new format is one file in this folder and one line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from grid_models.errors import InvalidInput, Issue
from grid_models.network import Network

# suffix -> module with `function(path) -> Network`; imported when needed, since pandapower takes seconds
_READERS = {
    ".json": ("grid_models.formats.pandapower", "read_json"),
    ".inp": ("grid_models.formats.epanet", "read_inp"),
    ".m": ("grid_models.formats.matpower", "read_m"),
    ".mat": ("grid_models.formats.matpower", "read_mat"),
    ".zip": ("grid_models.formats.cgmes", "read_cgmes"),
    ".uct": ("grid_models.formats.ucte", "read_ucte"),
    ".twin": ("grid_models.formats.compiled", "read_compiled"),
}
_WRITERS = {
    ".json": ("grid_models.formats.pandapower", "write_json"),
    ".inp": ("grid_models.formats.epanet_export", "write_inp"),
    ".twin": ("grid_models.formats.compiled", "write_compiled"),
}
# scheme -> module with `function(name) -> Network`
_SCHEMES = {
    "pandapower": ("grid_models.formats.pandapower", "read_packaged"),
    "simbench": ("grid_models.formats.simbench", "read_simbench"),
    "epyt": ("grid_models.formats.epanet_packaged", "read_epyt"),
    "wntr": ("grid_models.formats.epanet_packaged", "read_wntr"),
}


def read(source: str | Path) -> Network:
    """Read a network.

    Args:
        source: a file (pandapower `.json`, MATPOWER `.m` or `.mat`, CGMES `.zip`, UCTE `.uct`, EPANET `.inp`, compiled
            `.twin`), or `pandapower:NAME`, `simbench:CODE`, `epyt:NAME`, `wntr:NAME`.

    Raises:
        InvalidInput: no such file or name, an unknown format, or faults in the content; all of them at once.

    >>> read("pandapower:case9").tables["bus"].size
    9
    """
    text = str(source)
    scheme, _, name = text.partition(":")
    if name and scheme in _SCHEMES:
        return _call(_SCHEMES[scheme], name)
    path = Path(text)
    if path.suffix.lower() not in _READERS:
        known = ", ".join([*_READERS, *(f"{s}:NAME" for s in _SCHEMES)])
        raise InvalidInput([Issue("", "", (), f"is in no format that can be read; these can: {known}", file=text)])
    if not path.is_file():
        raise InvalidInput([Issue("", "", (), "no such file", file=text)])
    return _call(_READERS[path.suffix.lower()], path)


def write(network: Network, path: Path) -> None:
    """Write a network in the format that the suffix names.

    Raises:
        InvalidInput: an unknown suffix, or one for the other kind of network.
    """
    if path.suffix.lower() not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise InvalidInput([Issue("", "", (), f"is in no format that can be written; these can: {known}", file=str(path))])
    module, function = _WRITERS[path.suffix.lower()]
    getattr(import_module(module), function)(network, path)


def _call(where: tuple[str, str], argument: str | Path) -> Network:
    module, function = where
    reader = cast("Callable[[str | Path], Network]", getattr(import_module(module), function))
    return reader(argument)
