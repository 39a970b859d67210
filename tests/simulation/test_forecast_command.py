"""`twin forecast` on the store of a twin that lived an hour: ordered quantiles, and a future that its exported files repeat."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grid_models.errors import InvalidInput
from tests.simulation.small_city import played, settings, started
from twin.cli import forecast, solve

FUTURES, K, HOUR = 12, 5, 17


async def test_a_forecast_of_a_twins_own_history(tmp_path: Path) -> None:
    config = settings(tmp_path)
    service = await started(config)
    async for _ in played(service, 61):
        pass
    await service.stop()
    out = tmp_path / "f.zarr"
    assert forecast.command(out, config, "24h", FUTURES, export_future=K, export_hour=HOUR) == 0
    found = xr.open_zarr(out, consolidated=False).load()
    assert dict(found.sizes) | {"future": FUTURES, "time": 24, "quantile": 5} == dict(found.sizes)
    assert set(found["status"].values.tolist()) == {"SOLVED"}
    for name in ("bus_vm_pu", "line_loading_percent", "node_pressure_m", "tank_level_m"):
        assert (np.diff(found[f"{name}_quantile"].values, axis=0) >= 0).all()
    written = {}
    for kind in ("json", "inp"):
        assert solve.command(str(tmp_path / f"f-{K}.{kind}"), tmp_path / f"{kind}.nc") == 0
        with xr.open_dataset(tmp_path / f"{kind}.nc", engine="h5netcdf") as data:
            written[kind] = data.load()
    assert np.abs(found["bus_vm_pu"][K, HOUR].values - written["json"]["bus_vm_pu"].values).max() <= 1e-8
    assert np.abs(found["bus_vm_pu"][K, HOUR - 1].values - written["json"]["bus_vm_pu"].values).max() > 1e-6
    for name in ("node_pressure_m", "tank_level_m"):
        assert np.abs(found[name][K].values - written["inp"][name].values).max() <= 1e-3  # an .inp holds four decimals


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("export-future", {"futures": 3, "export_future": 3}),
        ("export-hour", {"futures": 3, "export_future": 1, "export_hour": 24}),
        ("horizon", {"horizon": "10s"}),
    ],
)
def test_what_there_is_none_of_is_refused_before_anything_is_read(told: str, options: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=told):
        forecast.command(Path("f.zarr"), Path("none.toml"), **options)
