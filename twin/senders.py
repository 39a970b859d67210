"""The publishers of a twin: who lives, who counts, who waits for which state."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import Issue
from grid_models.measurements import Catalogue
from grid_models.state import Position
from twin.errors import PreconditionFailed
from twin.port import Claim

_KEPT_EPOCHS = 4


@dataclass(eq=False)
class Waiting:
    """A batch that is not yet covered by published states: network -> its last instant."""

    batch_id: int
    position: Position
    instants: dict[str, int]


@dataclass(eq=False)
class Sender:
    """One publisher.

    Attributes:
        claim: as admitted.
        uids: claimed, ascending.
        claimed: (m + 1,) for each signal of the catalogue whether it is claimed; False for none.
        outranked: (m + 1,) whether a living publisher of higher priority sends it.
        living: whether its stream is open.
        received: last batch taken in.
        durable: last batch in the journal.
        interrogation: signals refreshed since a snapshot began, None outside one.
        waiting: batches without a published state, in order.
    """

    claim: Claim
    uids: NDArray[np.uint32]
    claimed: NDArray[np.bool_]
    outranked: NDArray[np.bool_]
    living: bool = True
    received: int = 0
    durable: int = 0
    interrogation: set[int] | None = None
    waiting: deque[Waiting] = field(default_factory=deque)

    def covered(self, network: str, instant: int, position: Position) -> int:
        """A state was published; returns the last batch that published states now cover, 0 where none is newly so.

        To be called with states that nothing outdates which came before they were finished: then a state whose position
        is above a batch's was computed with that batch.
        """
        through = 0
        for waiting in self.waiting:
            if waiting.position < position and waiting.instants.get(network, instant + 1) <= instant:
                del waiting.instants[network]
        while self.waiting and not self.waiting[0].instants and self.waiting[0].position < position:
            through = self.waiting.popleft().batch_id
        return through


def rivals(sender: Sender, senders: Sequence[Sender]) -> list[Sender]:
    """The other living publishers."""
    return [s for s in senders if s.living and s is not sender]


def rank(senders: Sequence[Sender]) -> None:
    """Find out anew who outranks whom; to be done when one comes or goes."""
    for sender in senders:
        higher = [s.claimed for s in rivals(sender, senders) if s.claim.priority > sender.claim.priority]
        sender.outranked = np.any([np.zeros_like(sender.claimed), *higher], axis=0)


def alone(sender: Sender, senders: Sequence[Sender]) -> NDArray[np.uint32]:
    """(j,) uids of this publisher that no other living one sends, ascending."""
    others = rivals(sender, senders)
    if not others:
        return sender.uids
    return np.setdiff1d(sender.uids, np.concatenate([s.uids for s in others]))


def newest_epochs(batches: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """Of each publisher the last few epochs: nobody resends what is older."""
    kept: dict[str, list[int]] = {}
    for publisher, epoch in sorted(batches):
        kept.setdefault(publisher, []).append(epoch)
    return {(p, e): batches[p, e] for p, epochs in kept.items() for e in epochs[-_KEPT_EPOCHS:]}


def check_claim(claim: Claim, catalogue: Catalogue) -> None:
    """Hold a claim against the catalogue.

    Raises:
        PreconditionFailed: another revision, or signals that are not as the claim says; all of them are named.
    """
    if claim.catalogue_revision != catalogue.revision:
        raise PreconditionFailed(
            f"the claim was made against catalogue revision {claim.catalogue_revision}, "
            f"the twin is at {catalogue.revision}; read the catalogue again"
        )
    known = {s.uid: s for s in catalogue.signals}
    issues = []
    for claimed in claim.signals:
        signal = known.get(claimed.uid)
        if signal is None:
            issues.append(Issue("signal", "", (claimed.uid,), "is not in the catalogue"))
        elif claimed.unit != signal.unit:
            issues.append(Issue("signal", "unit", (signal.name,), f"is {signal.unit}, the claim says {claimed.unit}"))
        elif claimed.sign != signal.sign:
            text = f"is {signal.sign:+d}, the claim says {claimed.sign:+d}"
            issues.append(Issue("signal", "sign", (signal.name,), text))
    if issues:
        more = f" and {len(issues) - 1} more" if len(issues) > 1 else ""
        raise PreconditionFailed(f"the claim contradicts the catalogue: {issues[0]}{more}", issues)
