"""Values outside their plausible range: one alarm a network, which names the signals.

Such a value is taken, for a short circuit or a burst is out of range exactly when it matters; somebody should look at it all
the same. A signal is named from its first value outside on, until one that came a minute after its last is inside again. The
alarm is updated when another signal joins and cleared when none is left.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Rows
from twin.port import EventKind, Transition, TwinEvent
from twin.samples import sample_time
from twin.watches import Finding

CODE = "IMPLAUSIBLE_VALUE"
_INSIDE_US = 60_000_000
_NAMED = 20  # signals of one event; the message counts the others


class Plausibility:
    """Knows which signals' values lie outside.

    Args:
        catalogue: the signals.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        n = len(catalogue.signals)
        self._outside_us = np.zeros(n, dtype=np.int64)  # time of the last value outside, 0 for a signal that is not named
        self._value = np.zeros(n)
        networks = np.array([s.network for s in catalogue.signals])
        self._rows = {str(name): np.flatnonzero(networks == name) for name in np.unique(networks)}
        self._named: dict[str, set[int]] = {}

    def recall(self, standing: Iterable[TwinEvent]) -> None:
        """Go on from the alarms that stood before a restart."""
        for event in standing:
            signals = [self._catalogue.by_name[name] for name in event.elements if name in self._catalogue.by_name]
            if event.code == CODE and signals:
                at = self._catalogue.find(np.array([s.uid for s in signals], dtype=np.uint32))
                self._outside_us[at] = event.valid_time_us
                self._named[event.network] = set(at.tolist())

    def judge(self, rows: Rows) -> list[Finding]:
        """What rows that were taken change; values in our direction."""
        at = self._catalogue.find(rows.signal)
        outside = (rows.value < self._catalogue.lower[at]) | (rows.value > self._catalogue.upper[at])
        if not (outside.any() or self._named):
            return []
        time = sample_time(rows)
        np.maximum.at(self._outside_us, at[outside], time[outside])
        self._value[at[outside]] = rows.value[outside]
        self._outside_us[at[~outside & (time > self._outside_us[at] + _INSIDE_US)]] = 0
        found = (self._change(name, mine[self._outside_us[mine] > 0]) for name, mine in self._rows.items())
        return [finding for finding in found if finding is not None]

    def _change(self, network: str, culprits: NDArray[np.int64]) -> Finding | None:
        before, now = self._named.pop(network, set()), set(culprits.tolist())
        if now:
            self._named[network] = now
        if (not before and not now) or (now and now <= before):
            return None
        transition = Transition.CLEARED if not now else Transition.UPDATED if before else Transition.RAISED
        newest = culprits[np.argsort(-self._outside_us[culprits], kind="stable")] if now else np.array(sorted(before))
        signals = [self._catalogue.signals[i] for i in newest[:_NAMED].tolist()]
        first, more = signals[0], f" and {len(newest) - 1} more" if len(newest) > 1 else ""
        message, figures = f"{first.name} is in its plausible range again{more}", {}
        if now:
            value = float(self._value[newest[0]])
            message = f"{first.name} reads {value:.4g} {first.unit}, plausible is {first.lower:g} to {first.upper:g}{more}"
            figures = {"value": value, "signals": float(len(now))}
        names = tuple(s.name for s in signals)
        return Finding(f"{CODE}/{network}", transition, EventKind.ALARM, CODE, names, message, figures=figures)
