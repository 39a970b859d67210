"""States to the watches: the live ones look at every state, the late ones at what no measurement can change any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from grid_models.state import NetworkState
from twin.chain import Chain, Link
from twin.chains import Chains
from twin.effects import Effect, Learn
from twin.field_book import FieldBook
from twin.ledger import Ledger
from twin.port import PublishedState
from twin.watches import NUMBERED, Finding, Watch, ended

Looked = Mapping[str, tuple[Any, tuple[Finding, ...]]]  # by a watch's name: what it remembers now, and what it found


def looked(watches: Iterable[Watch], request: Learn) -> Looked:
    """Perform a Learn effect."""
    asked = [w for w in watches if w.name in request.memory]
    return {w.name: w.step(request.memory[w.name], request.state, request.coupled, request.reports) for w in asked}


class Watching:
    """Lets watches look, and tells what they find.

    Args:
        watches: of all networks.
        ledger: what they find is said there.
        chains: keep what they remember.
        field: what the field says.
    """

    def __init__(self, watches: tuple[Watch, ...], ledger: Ledger, chains: Chains, field: FieldBook) -> None:
        self._watches, self._ledger, self._chains, self._field = watches, ledger, chains, field
        for chain in chains.values():
            chain.late_memory = {w.name: w.empty() for w in self._of(chain, late=True)}

    def look(self, chain: Chain, state: NetworkState) -> tuple[dict[str, object], list[Finding]]:
        """Let the live watches look at a state; what they remember after it, and what there is to tell."""
        before = chain.links.get(state.valid_time_us - chain.cycle_us)
        memory: dict[str, object] = {}
        told: list[Finding] = []
        for watch in self._of(chain, late=False):
            known = before.memory.get(watch.name) if before is not None else None
            known = watch.empty() if known is None else known
            memory[watch.name], findings = watch.step(known, state, self._chains.coupled(chain, state.valid_time_us))
            told += findings
        return memory, told

    def ask(self, chain: Chain, link: Link) -> list[Effect]:
        """Have the late watches look at a state that no measurement can change any more; nothing where there are none."""
        if not chain.late_memory:
            return []
        state = link.published.state
        coupled = self._chains.coupled(chain, state.valid_time_us)
        reports = self._field.counting(chain.network, state.valid_time_us)
        return [Learn(chain.network, state, coupled, dict(chain.late_memory), reports)]

    def learn(self, chain: Chain, link: Link, seen: Looked) -> list[Effect]:
        """Take in what the late watches saw in the state that is sealed now; one that failed has seen nothing."""
        effects: list[Effect] = []
        watches = self._of(chain, late=True)
        for watch in watches:
            memory, findings = seen.get(watch.name, (chain.late_memory[watch.name], ()))
            chain.late_memory[watch.name] = memory
            effects += self.tell(findings, link.published, late=True)
        found = (watch.found(chain.late_memory[watch.name]) for watch in watches)
        chain.note(next((f for f in found if f is not None), None))
        return effects

    def over(self) -> list[Effect]:
        """End the alarms of watches that are no more, and forget these: with other parameters another one began anew."""
        effects: list[Effect] = []
        names = {watch.name for watch in self._watches}
        for chain in self._chains.values():
            chain.late_memory = {name: memory for name, memory in chain.late_memory.items() if name in names}
        for alarm_id, event in list(self._ledger.telling.open_alarms.items()):
            if event.code in NUMBERED and alarm_id.split("/")[2] not in names:
                finding = ended(event, "over: the watch that told it is no more")
                effects += self._ledger.say(finding, event.network, self._ledger.now_us, alarm_id=alarm_id)
        return effects

    def tell(self, findings: Iterable[Finding], published: PublishedState, *, late: bool = False) -> list[Effect]:
        """Say what has not been said of what was found in a state."""
        effects: list[Effect] = []
        state = published.state
        for finding, alarm_id in self._ledger.telling.to_say(findings, published, late=late):
            effects += self._ledger.say(
                finding, state.network, state.valid_time_us, position=published.position, alarm_id=alarm_id
            )
        return effects

    def _of(self, chain: Chain, *, late: bool) -> list[Watch]:
        return [w for w in self._watches if w.network == chain.network and w.late is late]
