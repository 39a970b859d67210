"""Meters that have changed by themselves: not heard for a while, then from a new zero on.

A meter found wrong is muted for a week, each further time eight times as long: one that was recalibrated loses a week, one
that drifts is soon not relied on at all. When its silence ends, its zero is what its residual was in the last two days
(an exponential mean), less the bias that is believed of it. One that read nothing for half a day meanwhile has stood still:
what it showed before that is no zero, and when it moves again it is what it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from solvers.water.plan import Floats

_FIRST_H = 24 * 7
_LONGER = 8  # times, each further time
_MEMORY_H = 48.0
_FORGETS_H = 12


@dataclass
class _Silence:
    output: int
    begin: int
    end: int
    heard: float = np.nan  # mean residual meanwhile
    read: int = -1  # last hour that it was
    zero: float = np.nan  # from its end on


@dataclass
class Muting:
    """The silences of a search, in order of time."""

    _silences: list[_Silence] = field(default_factory=list)

    def mute(self, output: int, h: int) -> int:
        """Hear an output no more from hour h on; the hour from which on it is heard again."""
        before = sum(silence.output == output for silence in self._silences)
        self._silences.append(_Silence(output, h, h + _FIRST_H * _LONGER**before))
        return self._silences[-1].end

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
                    is_new = np.isnan(silence.heard) or h - silence.read > _FORGETS_H
                    silence.heard = read if is_new else silence.heard + (read - silence.heard) / _MEMORY_H
                    silence.read = h
                out[i] = np.nan
            elif h >= silence.end:
                if np.isnan(silence.zero):
                    is_known = np.isfinite(silence.heard) and silence.end - silence.read <= _FORGETS_H
                    silence.zero = silence.heard - bias[i] if is_known else 0.0
                out[i] = read - silence.zero
        return out

    def since(self, first: int) -> list[int]:
        """Outputs of which a belief held before hour `first` does not hold any more."""
        return [silence.output for silence in self._silences if silence.end > first]
