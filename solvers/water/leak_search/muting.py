"""Meters that have changed by themselves: not heard for a while, then from a new zero on.

A meter found wrong is muted for a week, each further time twice as long: one that was recalibrated loses a week, one that
drifts is soon not relied on at all. When its silence ends, its zero is what its residual was in the last two days
(an exponential mean), less the bias that is believed of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from solvers.water.plan import Floats

_FIRST_H = 24 * 7
_MEMORY_H = 48.0


@dataclass
class _Silence:
    output: int
    begin: int
    end: int
    heard: float = np.nan  # mean residual meanwhile
    zero: float = np.nan  # from its end on


@dataclass
class Muting:
    """The silences of a search, in order of time."""

    _silences: list[_Silence] = field(default_factory=list)

    def mute(self, output: int, h: int) -> None:
        """Hear an output no more from hour h on."""
        before = sum(silence.output == output for silence in self._silences)
        self._silences.append(_Silence(output, h, h + _FIRST_H * 2**before))

    def heard(self, h: int, residual: Floats, bias: Floats) -> Floats:
        """(n_output,) residuals of an hour as far as they are heard, muted ones nan.

        Args:
            h: the hour.
            residual: (n_output,) as read.
            bias: (n_output,) as believed.
        """
        out = residual.copy()
        for silence in self._silences:
            i, read = silence.output, residual[silence.output]
            if silence.begin <= h < silence.end:
                if np.isfinite(read) and np.isnan(silence.zero):
                    silence.heard = read if np.isnan(silence.heard) else silence.heard + (read - silence.heard) / _MEMORY_H
                out[i] = np.nan
            elif h >= silence.end:
                if np.isnan(silence.zero):
                    silence.zero = silence.heard - bias[i] if np.isfinite(silence.heard) else 0.0
                out[i] = read - silence.zero
        return out

    def since(self, first: int) -> list[int]:
        """Outputs of which a belief held before hour `first` does not hold any more."""
        return [silence.output for silence in self._silences if silence.end > first]
