"""How a client connects: limits, keepalive, and how long it tries again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from twin.client.errors import ClientError

OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


@dataclass
class Patience:
    """Pauses between attempts, doubling, until `reconnect_s` seconds have brought nothing.

    Args:
        reconnect_s: give up after so long without a message; 0 = never try again.
    """

    reconnect_s: float
    _pause_s: float = _FIRST_PAUSE_S
    _since: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        """A message came."""
        self._pause_s, self._since = _FIRST_PAUSE_S, time.monotonic()

    def pause_s(self, error: ClientError) -> float:
        """How long to wait before the next attempt.

        Raises:
            ClientError: the error itself, where trying again is in vain.
        """
        if not error.passing or time.monotonic() - self._since + self._pause_s > self.reconnect_s:
            raise error
        pause, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause
