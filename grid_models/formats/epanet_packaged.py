"""Networks that come with installed packages: `epyt:L-TOWN`, `wntr:ky4`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.epanet import read_inp
from grid_models.water.network import WaterNetwork

_FOLDERS = {"epyt": Path("networks"), "wntr": Path("library") / "networks"}


def read_epyt(name: str) -> WaterNetwork:
    """A network of the package epyt by its file's name without suffix, wherever in its folders it lies.

    Raises:
        InvalidInput: epyt is not installed, or has no such network.
    """
    return read_inp(packaged_file("epyt", name))


def read_wntr(name: str) -> WaterNetwork:
    """A network of the package wntr by its file's name without suffix.

    Raises:
        InvalidInput: wntr is not installed, or has no such network.
    """
    return read_inp(packaged_file("wntr", name))


def packaged_names(package: str) -> list[str]:
    """Names of all networks of a package, none where it is not installed."""
    return sorted(_files(package))


def packaged_file(package: str, name: str) -> Path:
    """Where a network of a package lies.

    Raises:
        InvalidInput: the package is not installed, or has no such network.
    """
    known = _files(package)
    if not known:
        raise InvalidInput([Issue("", "", (), f"the package {package} is not installed", file=f"{package}:{name}")])
    if name not in known:
        message = f"{package} has no such network; it has {', '.join(sorted(known))}"
        raise InvalidInput([Issue("", "", (), message, file=f"{package}:{name}")])
    return known[name]


def _files(package: str) -> dict[str, Path]:
    spec = find_spec(package)  # found, not imported: either takes seconds to import
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / _FOLDERS[package]
    return {path.stem: path for path in sorted(folder.rglob("*.inp"), reverse=True)}
