"""The command ends as its seams say, names the culprit on stderr, and never shows a traceback."""

import subprocess
import sys
from pathlib import Path

import pandapower as pp
import pandapower.networks as pn
import pytest

ROOT = Path(__file__).parents[2]


def twin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def told(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert all(w in done.stderr for w in words), done.stderr


def test_solve_writes_what_pandapower_finds(tmp_path: Path) -> None:
    import numpy as np
    import xarray as xr

    net = pn.case9()
    pp.to_json(net, str(tmp_path / "case9.json"))
    done = twin("solve", tmp_path / "case9.json", "--out", tmp_path / "out.nc")
    assert done.returncode == 0, done.stderr
    pp.runpp(net, tolerance_mva=1e-9)
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as data:
        assert np.abs(data.bus_vm_pu.values - net.res_bus.vm_pu.values).max() < 1e-8
        assert data.attrs["status"] == "SOLVED"
        assert data.bus_vm_pu.attrs["units"] == "pu"


def test_a_checked_run_tells_what_every_instant_leaves(tmp_path: Path) -> None:
    import xarray as xr

    done = twin("solve", "wntr:Net1", "--duration", "6h", "--out", tmp_path / "out.nc", "--check")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "do not hold: 0" in done.stdout
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as data:
        assert data["instant"].values[-1] == 6 * 3600
        assert data.sizes["instant"] > data.sizes["time"] - 1
        assert float(data["check_mass"].max()) <= 1e-6
        assert 0.0 < float(data["check_head_m"].max()) <= 1e-6
        assert data["check_head_m"].attrs["units"] == "m"
        assert set(data["check_head_link"].values) <= set(data["link"].values)
    told(twin("solve", "pandapower:case9", "--out", tmp_path / "no.nc", "--check"), 2, "--check", "for water")


def test_bad_input_ends_with_2(tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    told(twin("solve", tmp_path / "none.json", "--out", out), 2, "none.json", "no such file")
    told(twin("solve", "pandapower:nothing", "--out", out), 2, "nothing")
    (tmp_path / "broken.json").write_text('{"bus": [1, 2,}')
    told(twin("solve", tmp_path / "broken.json", "--out", out), 2, "broken.json:1", "JSON")
    (tmp_path / "bad.inp").write_text("[JUNCTIONS]\n J1 abc\n[RESERVOIRS]\n R 10\n[PIPES]\n P J1 R 10 100 100 0 Open\n[END]\n")
    told(twin("solve", tmp_path / "bad.inp", "--out", out), 2, "bad.inp:2", "JUNCTIONS")
    told(twin("validate", tmp_path / "network.xyz"), 2, "network.xyz", "format")
    told(twin("solve", "pandapower:case9", "--out", out, "--nonsense"), 2)


def test_a_dangling_reference_names_the_element(tmp_path: Path) -> None:
    net = pn.case9()
    net.line.loc[3, "to_bus"] = 99
    net.load.loc[0, "p_mw"] = float("nan")
    pp.to_json(net, str(tmp_path / "bad.json"))
    told(twin("validate", tmp_path / "bad.json"), 2, "line 3", "to_bus", "99", "load 0", "p_mw")


def test_unsolvable_ends_with_3(tmp_path: Path) -> None:
    net = pn.case9()
    net.ext_grid["in_service"] = False
    pp.to_json(net, str(tmp_path / "dead.json"))
    told(twin("solve", tmp_path / "dead.json", "--out", tmp_path / "out.nc"), 3, "NO_SLACK", "ext_grid")
    heavy = pn.case9()
    heavy.load["p_mw"] *= 20
    pp.to_json(heavy, str(tmp_path / "heavy.json"))
    told(twin("solve", tmp_path / "heavy.json", "--out", tmp_path / "out.nc"), 3, "bus")


def test_an_unreachable_service_ends_with_4(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[[change]]\nset = { element = "line 1", column = "in_service", value = false }\n')
    told(twin("what-if", "grpc://127.0.0.1:9/power", "--patch", tmp_path / "p.toml", "--out", tmp_path / "o.nc"), 4)


def test_what_if_on_a_file_and_compare(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[[change]]\nscale = { element = "load *", column = "p_mw", factor = 1.1 }\n')
    done = twin("what-if", "pandapower:case9", "--patch", tmp_path / "p.toml", "--out", tmp_path / "a.nc")
    assert done.returncode == 0, done.stderr
    done = twin("compare", tmp_path / "a.nc", tmp_path / "a.nc")
    assert done.returncode == 0, done.stderr
    assert "no difference" in done.stdout
    (tmp_path / "wrong.toml").write_text('[[change]]\nset = { element = "line 777", column = "length", value = 1 }\n')
    told(
        twin("what-if", "pandapower:case9", "--patch", tmp_path / "wrong.toml", "--out", tmp_path / "b.nc"),
        2, "change 1", "line 777",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["", "serve", "solve", "what-if", "demo", "forecast"])
def test_help(name: str) -> None:
    done = twin(*([name] if name else []), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
