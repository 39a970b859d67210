"""The demo's screen: both networks as the twin sees them, rates, and alarms."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from twin.client import Frame
from twin.demo.scada import MIDNIGHT_US
from twin.port import Transition, TwinEvent

_SHOWN = 12
_STYLE = {Transition.RAISED: "bold red", Transition.UPDATED: "yellow", Transition.CLEARED: "green"}


def clock(time_us: int) -> str:
    """Time of the demo's day."""
    seconds = (time_us - MIDNIGHT_US) // 1_000_000
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"


@dataclass
class Screen:
    """What is shown; filled by the readers' threads, drawn by rich."""

    power: Frame | None = None
    water: Frame | None = None
    scada: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    frames: int = 0
    latency_ms: float = float("nan")
    events: deque[TwinEvent] = field(default_factory=lambda: deque(maxlen=_SHOWN))

    def __rich__(self) -> RenderableType:
        """Draw it."""
        networks = Table.grid(expand=True, padding=(0, 1))
        networks.add_column(ratio=1)
        networks.add_column(ratio=1)
        networks.add_row(self._power(), self._water())
        return Group(self._head(), networks, self._alarms())

    def _head(self) -> RenderableType:
        now = self.power.valid_time.astype("int64") if self.power is not None else MIDNIGHT_US
        rate = f"{self.scada.get('rows_per_s', 0):,.0f} measurements/s, durable in {self.scada.get('durable_ms', 0):.0f} ms"
        return Text(
            f" {clock(int(now))}   {rate}   {self.frames} states, newest {self.latency_ms:.0f} ms after its data"
            f"   epoch {self.epoch}",
            style="bold white on blue",
        )

    def _power(self) -> RenderableType:
        frame = self.power
        table = Table.grid(padding=(0, 2))
        if frame is not None:
            values = frame.values
            dead = int((values["bus_energised"] == 0).sum())
            line = int(np.nanargmax(np.nan_to_num(values["line_loading_percent"])))
            table.add_row("voltage", f"{np.nanmin(values['bus_vm_pu']):.3f} to {np.nanmax(values['bus_vm_pu']):.3f} pu")
            table.add_row("most loaded", f"line {frame.dims['line'][line]}: {values['line_loading_percent'][line]:.0f} %")
            table.add_row("fed in", f"{np.nansum(values['ext_grid_p_mw']):.1f} MW from the grid above")
            table.add_row("consumed", f"{np.nansum(values['load_p_mw']):.1f} MW, sun {np.nansum(values['sgen_p_mw']):.1f} MW")
            table.add_row("without supply", f"{dead} buses" if dead else "none")
            table.add_row("estimate", f"{frame.status.lower()}, chi2/dof {frame.accuracy:.2f}, {frame.stale_inputs} stale")
        return Panel(table, title="power: mv_oberrhein", title_align="left")

    def _water(self) -> RenderableType:
        frame = self.water
        table = Table.grid(padding=(0, 2))
        if frame is not None:
            values = frame.values
            pressure = values["node_pressure_m"]
            lowest = int(np.nanargmin(np.where(pressure > 8.0, pressure, np.nan)))
            table.add_row(
                "pressure", f"{pressure[lowest]:.1f} m at {frame.dims['node'][lowest]} to {np.nanmax(pressure):.1f} m"
            )
            demand = values["node_demand_m3_per_s"]
            table.add_row("consumed", f"{demand[demand > 0].sum() * 3600:.0f} m3/h")
            table.add_row("tank", f"{values['tank_level_m'][0]:.2f} m")
            pump = frame.dims["link"].index("PUMP_1")
            flow = values["link_flow_m3_per_s"][pump] * 3600
            table.add_row("pump", f"{flow:.0f} m3/h" if flow > 0.5 else "stands")
            table.add_row("without water", f"{int((values['node_supplied'] == 0).sum()) or 'no'} nodes")
            table.add_row("estimate", f"{frame.status.lower()}, chi2/dof {frame.accuracy:.2f}, {frame.stale_inputs} stale")
        return Panel(table, title="water: L-TOWN", title_align="left")

    def _alarms(self) -> RenderableType:
        table = Table(expand=True, show_edge=False, pad_edge=False)
        for name, width in (("time", 5), ("", 8), ("code", 20)):
            table.add_column(name, width=width)
        table.add_column("what")
        for event in reversed(self.events):
            style = "dim" if event.cause else _STYLE.get(event.transition, "")
            what = event.message + (" (consequence)" if event.cause else "")
            table.add_row(clock(event.valid_time_us), event.transition.name.lower(), event.code, what, style=style)
        return Panel(table, title="alarms, newest first", title_align="left")
