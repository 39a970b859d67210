"""Entries by hand: what a person says counts in place of what publishers send, as long as it is in force.

They lie over the measurements in force at an instant; of two for one signal the one entered later counts. They weigh
like substituted values. What publishers send meanwhile waits beneath and counts again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import Issue
from grid_models.measurements import Catalogue, Flag, Signal, SignalKind, SwitchPosition, Validity, sigma_factor
from twin.errors import BadRequest, Exhausted, NotFound, TooOld
from twin.estimators import InForce
from twin.port import FOREVER_US, ManualEntry

MOST_ENTRIES = 10_000


class ManualBook:
    """The entries in force, still to come, or ended so lately that states may be computed again.

    Args:
        catalogue: the signals.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._signals = {s.uid: s for s in catalogue.signals}
        self._switches = {s.uid for s in catalogue.signals if s.kind is SignalKind.SWITCH}
        self._entries: dict[str, ManualEntry] = {}

    def network_of(self, entry: ManualEntry) -> str:
        """The network that an entry's signal belongs to; empty where the signal is no more."""
        return self._signals[entry.signal].network if entry.signal in self._signals else ""

    def name_of(self, entry: ManualEntry) -> str:
        """The name of an entry's signal."""
        return self._signals[entry.signal].name if entry.signal in self._signals else str(entry.signal)

    def checked(self, draft: ManualEntry, now_us: int, oldest_us: int) -> ManualEntry:
        """A new entry in our direction, with its start.

        Raises:
            BadRequest: a value that is impossible for the signal, or times the wrong way round; all faults at once.
            NotFound: no such signal.
            TooOld: it starts before `oldest_us`.
            Exhausted: too many entries.
        """
        signal = self._signals.get(draft.signal)
        if signal is None:
            raise NotFound(f"no signal {draft.signal}")
        if len(self._entries) >= MOST_ENTRIES:
            raise Exhausted(f"{MOST_ENTRIES} manual entries are in force; withdraw some")
        entry = replace(draft, value=draft.value * signal.sign, start_us=draft.start_us or now_us + 1)
        issues = [Issue("request", "entry.value", (), text) for text in _faults(entry, signal)]
        if entry.until_us <= entry.start_us:
            issues.append(Issue("request", "entry.expire_time", (), "must lie behind start_time"))
        if issues:
            raise BadRequest("; ".join(f"{i.field}: {i.message}" for i in issues), issues)
        if entry.start_us < oldest_us:
            raise TooOld(f"states are changed from {np.datetime64(oldest_us, 'us')} on; an entry cannot start before")
        return entry

    def same(self, draft: ManualEntry, now_us: int) -> ManualEntry | None:
        """The entry that an earlier request with the same id made."""
        mine = [e for e in self.standing(now_us) if draft.request_id and e.request_id == draft.request_id]
        return mine[0] if mine else None

    def withdrawn(self, entry_id: str, now_us: int) -> ManualEntry:
        """An entry that ends with this instant.

        Raises:
            NotFound: no such entry is in force or to come.
        """
        entry = next((e for e in self.standing(now_us) if e.entry_id == entry_id), None)
        if entry is None:
            raise NotFound(f"no manual entry {entry_id} is in force")
        return replace(entry, until_us=max(entry.start_us, now_us + 1))

    def take(self, entry: ManualEntry) -> tuple[int, ...]:
        """Note an entry, or its end; returns when it begins or ends to change states, ascending [us]."""
        before = self._entries.get(entry.entry_id)
        self._entries[entry.entry_id] = entry
        times = (entry.start_us, entry.until_us) if before is None else (before.until_us, entry.until_us)
        return tuple(sorted(times))

    def moves(self, network: str, after_us: int, through_us: int) -> NDArray[np.int64]:
        """When entries move switches in (after, through], in no order [us]."""
        mine = [e for e in self._entries.values() if e.signal in self._switches and self.network_of(e) == network]
        times = [t for e in mine for t in (e.start_us, e.until_us) if after_us < t <= through_us and t < FOREVER_US]
        return np.array(times, dtype=np.int64)

    def standing(self, now_us: int) -> list[ManualEntry]:
        """What is in force or to come."""
        return [e for e in self._entries.values() if e.until_us > now_us + 1]

    def ended(self, now_us: int) -> list[ManualEntry]:
        """What has expired or been withdrawn, as far as it is remembered."""
        return [e for e in self._entries.values() if e.until_us <= now_us]

    def forget(self, before_us: int) -> None:
        """Drop what no instant from `before_us` on looks at."""
        self._entries = {k: e for k, e in self._entries.items() if e.until_us > before_us}

    def saved(self) -> tuple[ManualEntry, ...]:
        """What a checkpoint holds of it."""
        return tuple(self._entries.values())

    def recall(self, saved: Iterable[ManualEntry]) -> None:
        """Know these entries, and no others."""
        self._entries = {e.entry_id: e for e in saved}

    def laid_over(self, measured: InForce, network: str) -> InForce:
        """The measurements in force with the entries in place of what they replace."""
        t = measured.valid_time_us
        valid = [e for e in self._entries.values() if e.start_us <= t < e.until_us and self.network_of(e) == network]
        if not valid:
            return measured
        newest = {e.signal: e for e in valid}
        uids = np.array(sorted(newest), dtype=np.uint32)
        mine = [newest[int(u)] for u in uids]
        quality = sigma_factor(np.array([Validity.GOOD], np.uint8), np.array([Flag.SUBSTITUTED], np.uint8))
        n = len(uids)
        theirs = ~np.isin(measured.signal, uids)
        signal = np.concatenate([measured.signal[theirs], uids])
        order = np.argsort(signal, kind="stable")
        return InForce(
            valid_time_us=t,
            signal=signal[order],
            value=np.concatenate([measured.value[theirs], [e.value for e in mine]])[order],
            sigma=np.concatenate([measured.sigma[theirs], self._catalogue.sigma[self._catalogue.find(uids)] * quality])[order],
            source_time_us=np.concatenate(
                [measured.source_time_us[theirs], np.array([e.start_us for e in mine], dtype=np.int64)]
            )[order],
            stale=np.concatenate([measured.stale[theirs], np.zeros(n, dtype=bool)])[order],
            manual=np.concatenate([measured.manual[theirs], np.ones(n, dtype=bool)])[order],
        )


def _faults(entry: ManualEntry, signal: Signal) -> list[str]:
    if signal.kind is SignalKind.SWITCH:
        ends = (SwitchPosition.OPEN, SwitchPosition.CLOSED)
        return (
            [] if entry.value in ends else [f"of the switch {signal.name} must be OPEN (1) or CLOSED (2), is {entry.value:g}"]
        )
    if not signal.lower <= entry.value <= signal.upper:
        given, (low, high) = entry.value * signal.sign, sorted((signal.lower * signal.sign, signal.upper * signal.sign))
        return [f"of {signal.name} must lie in {low:g} to {high:g} {signal.unit}, is {given:g}"]
    return []
