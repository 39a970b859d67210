"""What differs between two results of one network: ranked, above tolerance, with limits broken and mended.

Differences of unlike quantities are ranked by how much of a *notable* change each is: one hundredth of a pu, one metre
of pressure, ten points of loading weigh alike. What has a value in one result alone (all that belongs to a dead bus) has
no difference and comes last; the places that lost supply are told as one broken limit. `compare(a, a)` is empty.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from rich.table import Table

from grid_models.errors import InvalidInput, Issue
from twin.limits import LIMITS

# unit -> (differences up to this are noise of two solvers, a notable change)
_SCALES = {
    "pu": (1e-8, 0.01),
    "degree": (1e-6, 1.0),
    "MW": (1e-6, 0.1),
    "Mvar": (1e-6, 0.1),
    "kA": (1e-7, 0.01),
    "%": (1e-5, 10.0),
    "m": (1e-3, 1.0),
    "m3/s": (1e-6, 1e-3),
    "m/s": (1e-5, 0.1),
}
_OTHER = (1e-9, 1.0)
# A place has supply where this has a value.
_SUPPLY = ("bus_vm_pu", "node_pressure_m")
_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """The differences of `b` against `a`.

    Args:
        rows: a frame `column, element, time, before, after, difference, unit, rank`, most notable first.
        violated: limits that hold in `a` and not in `b`, in words.
        relieved: limits that hold in `b` and not in `a`, in words.
        places: (column's dimension, element) -> (lon, lat), where the results carry coordinates.
    """

    rows: pd.DataFrame
    violated: tuple[str, ...]
    relieved: tuple[str, ...]
    places: dict[tuple[str, str], tuple[float, float]]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return len(self.rows) == 0

    def table(self, top: int = 20) -> Table:
        """A table for a terminal: limits first, then the `top` most notable differences."""
        title = "no difference above tolerance" if self.empty else f"{len(self.rows)} differences, the most notable first"
        table = Table(title=title, title_justify="left")
        for name in ("column", "element", "before", "after", "difference", "unit"):
            table.add_column(name, justify="left" if name in ("column", "element", "unit") else "right")
        for text, style in [(t, "red") for t in self.violated] + [(t, "green") for t in self.relieved]:
            table.add_row("limit", text, "", "", "broken" if style == "red" else "mended", "", style=style)
        for row in self.rows.head(top).itertuples():
            figures = (_figure(row.before, ".5g"), _figure(row.after, ".5g"), _figure(row.difference, "+.4g"))
            table.add_row(row.column, row.element + (f" at {row.time}" if row.time else ""), *figures, row.unit)
        return table

    def plot(self, ax: Any = None) -> Any:
        """Draw the most notable differences as bars; returns matplotlib axes."""
        from twin.plots import draw_differences

        return draw_differences(self.rows, len(self.violated), len(self.relieved), ax)

    def _repr_html_(self) -> str:
        limits = "".join(f"<li>broken: {escape(t)}</li>" for t in self.violated)
        limits += "".join(f"<li>mended: {escape(t)}</li>" for t in self.relieved)
        head = self.rows.head(20).to_html(index=False, escape=True)
        return f"<p>{len(self.rows)} differences, the most notable first</p><ul>{limits}</ul>{head}"

    def csv(self) -> str:
        """All rows as CSV."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.rows.columns)
        writer.writerows(self.rows.itertuples(index=False))
        return text.getvalue()

    def json(self) -> str:
        """Rows and limits as JSON."""
        rows = json.loads(self.rows.to_json(orient="records"))
        return json.dumps({"differences": rows, "violated": self.violated, "relieved": self.relieved}, indent=1)

    def geojson(self) -> str:
        """The located differences as a GeoJSON FeatureCollection (WGS84, or the file's own plane coordinates)."""
        features = []
        for row in json.loads(self.rows.to_json(orient="records")):
            place = self.places.get((row["column"].split("_", 1)[0], row["element"]))
            if place is not None:
                geometry = {"type": "Point", "coordinates": list(place)}
                features.append({"type": "Feature", "geometry": geometry, "properties": row})
        return json.dumps({"type": "FeatureCollection", "features": features})


def _figure(value: float, form: str) -> str:
    """A number; what has no value, such as the voltage of a dead bus, has a dash."""
    return format(value, form) if np.isfinite(value) else "-"


def compare(a: xr.Dataset, b: xr.Dataset) -> Comparison:
    """Compare two results of the same network.

    Args:
        a: before.
        b: after; elements and instants that only one of them has are told as an issue.

    Returns:
        The comparison; empty where `b` equals `a` within the solvers' own tolerance.

    Raises:
        InvalidInput: the results share no variable, so they are not of the same network.
    """
    a, b = (d.squeeze("time", drop=True) if d.sizes.get("time") == 1 else d for d in (a, b))
    shared = [n for n in a.data_vars if n in b.data_vars and a[n].dims == b[n].dims and a[n].dtype.kind in "fib"]
    if not shared:
        raise InvalidInput([Issue("results", "", (), "share no variable; are they of the same network?")])
    a_shared, b_shared = xr.align(a[shared], b[shared], join="inner")
    frames = [_differences(str(name), a_shared[name], b_shared[name]) for name in shared]
    rows = pd.concat([f for f in frames if not f.empty], ignore_index=True) if any(len(f) for f in frames) else frames[0]
    rows = rows.sort_values(["rank", "column", "element"], ascending=[False, True, True], ignore_index=True)
    return Comparison(rows, _broken(a_shared, b_shared), _broken(b_shared, a_shared), _places(a))


def _differences(name: str, a: xr.DataArray, b: xr.DataArray) -> pd.DataFrame:
    unit = str(a.attrs.get("units", ""))
    tolerance, notable = _SCALES.get(unit, _OTHER)
    before, after = a.values.astype(float), b.values.astype(float)
    both = np.isfinite(before) & np.isfinite(after)
    one = np.isfinite(before) != np.isfinite(after)
    difference = np.where(both, after - before, np.nan)
    where = np.nonzero((both & (np.abs(np.where(both, difference, 0.0)) > tolerance)) | one)
    ids = [np.asarray(a[d].values)[w] if d in a.coords else w for d, w in zip(a.dims, where, strict=True)]
    times = ids[0] if a.ndim > 1 else np.full(len(where[0]), "")
    frame = pd.DataFrame({"column": name, "element": np.asarray(ids[-1]).astype(str), "time": [str(t) for t in times]})
    frame["before"], frame["after"], frame["difference"] = before[where], after[where], difference[where]
    frame["unit"] = unit
    frame["rank"] = np.where(one[where], 0.0, np.abs(difference[where]) / notable)
    return frame


def _broken(a: xr.Dataset, b: xr.Dataset) -> tuple[str, ...]:
    """Limits that `a` keeps and `b` does not; supply is the first of them."""
    told = [text for column in _SUPPLY if column in a for text in _without_supply(a[column], b[column])]
    for limit in LIMITS:
        if limit.column not in a:
            continue
        dims = a[limit.column].dims[:-1]
        excess_a = np.asarray(limit.excess(a[limit.column].values)).max(axis=tuple(range(len(dims))))
        excess_b = np.asarray(limit.excess(b[limit.column].values)).max(axis=tuple(range(len(dims))))
        ids = a[a[limit.column].dims[-1]].values
        told += [
            f"{limit.element} {ids[i]}: {limit.code} by {excess_b[i]:.3g} {limit.unit}"
            for i in np.nonzero((excess_a == 0) & (excess_b > 0))[0]
        ]
    return tuple(told)


def _without_supply(a: xr.DataArray, b: xr.DataArray) -> list[str]:
    """The places that have a value at every instant of `a` and not of `b`, in words."""
    supplied_a, supplied_b = (np.isfinite(d.values).reshape(-1, d.shape[-1]).all(axis=0) for d in (a, b))
    lost = supplied_a & ~supplied_b
    ids = [str(i) for i in a[a.dims[-1]].values[lost]]
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return [f"{a.dims[-1]} {', '.join(ids[:_NAMED])}{more}: without supply"] if ids else []


def _places(data: xr.Dataset) -> dict[tuple[str, str], tuple[float, float]]:
    places: dict[tuple[str, str], tuple[float, float]] = {}
    for dimension in data.dims:
        for names in ((f"{dimension}_lon", f"{dimension}_lat"), (f"{dimension}_x", f"{dimension}_y")):
            if not all(n in data.coords for n in names):
                continue
            for i, x, y in zip(data[dimension].values, data[names[0]].values, data[names[1]].values, strict=True):
                places[str(dimension), str(i)] = (float(x), float(y))
    return places
