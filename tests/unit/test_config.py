"""The settings: read whole, relative to their folder, or refused with every fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid_models.errors import InvalidInput
from twin.config import read_config

GOOD = """
signals = "points.csv"
clock = "stream"
[[networks]]
name = "power"
model = "pandapower:case9"
[[networks]]
name = "water"
model = "city.inp"
cycle_s = 300
[[pumps]]
water = "water"
pump = "PU1"
power = "power"
bus = 4
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "twin.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_settings_and_models_of_a_library_are_not_paths(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, GOOD))
    assert config.signals == tmp_path / "points.csv"
    assert config.store == tmp_path / "store"
    assert [n.model for n in config.networks] == ["pandapower:case9", str(tmp_path / "city.inp")]
    assert (config.networks[0].cycle_s, config.networks[1].cycle_s) == (None, 300.0)
    assert (config.name, config.lateness_s, config.clock) == ("city", 60.0, "stream")
    assert config.pumps[0].efficiency == 0.9


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('signals = "points.csv"', "", "signals"),
        ('clock = "stream"', 'clock = "sundial"', "clock"),
        ('clock = "stream"', 'colour = "red"', "colour"),
        ("cycle_s = 300", "cycle_s = 0", "cycle_s"),
        ("cycle_s = 300", "cycle_s = -5", "cycle_s"),
        ('name = "water"', 'name = "Water Works"', "name"),
        ('clock = "stream"', "lateness_s = -1", "lateness_s"),
        ("bus = 4", "bus = 4\nefficiency = 1.5", "efficiency"),
        ('name = "water"', 'name = "power"', "power"),
        ("cycle_s = 300", "cycle_s = 1e-9", "cycle_s"),
        ("cycle_s = 300", "cycle_s = nan", "cycle_s"),
        ('water = "water"', 'water = "wasser"', "wasser"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in GOOD
    with pytest.raises(InvalidInput, match=told):
        read_config(written(tmp_path, GOOD.replace(before, after, 1)))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("cycle_s = 300", "cycle_s = 0").replace('clock = "stream"', 'clock = "x"')
    with pytest.raises(InvalidInput) as caught:
        read_config(written(tmp_path, text))
    assert len(caught.value.issues) == 2


def test_no_networks_no_toml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="networks"):
        read_config(written(tmp_path, 'signals = "points.csv"\nnetworks = []'))
    with pytest.raises(InvalidInput, match="is not TOML"):
        read_config(written(tmp_path, "signals = ["))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "twin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"twin\.toml"):
        read_config(tmp_path / "twin.toml")
