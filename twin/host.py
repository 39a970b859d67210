"""The process of a service: settings -> store -> core -> edge, and back in reverse when it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from twin.assembly import assemble
from twin.config import read_config
from twin.edge.server import EdgeServer, tls
from twin.end_of_input import at_end_of_input
from twin.journal import Journal
from twin.lease import Lease
from twin.service import TwinService
from twin.warm import rehearse

log = logging.getLogger(__name__)

_SWITCH_S = 0.00005  # how long a thread may hold the interpreter while the event loop waits for it


def _learning(text: str, done: float) -> None:
    log.info("learning from a history stage=%r done=%.2f", text, done)


async def host(config_path: Path, announce: Callable[[str], None], *, until_eof: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP has the point list read again.

    Args:
        config_path: `twin.toml`.
        announce: told once the service answers, with its address.
        until_eof: serve no longer than standard input lasts; a parent that holds its other end takes the service along,
            even where it is killed.

    Raises:
        InvalidInput: settings, models or the point list are wrong.
        Unavailable: the store is in use, or the address cannot be bound.
    """
    config = read_config(config_path)
    credentials = None if config.tls is None else tls(config.tls.certificate, config.tls.key, config.tls.client_ca)
    parts = assemble(config, _learning)
    rehearse(parts.estimators.values())
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # models live as long as the process: to walk over them again and again holds everybody up for 0.1 s
    lease = Lease(config.store)
    journal = Journal(config.store)
    twin = TwinService(config.name, parts, lease, journal)
    edge = EdgeServer(twin, config.listen, credentials)
    await twin.start()
    await edge.start()
    address = f"{config.listen.rsplit(':', 1)[0]}:{edge.port}"
    (config.store / "address").write_text(address + "\n")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, twin.rebind_soon)
    announce(f"twin {config.name} serves {', '.join(parts.estimators)} on {address} (epoch {lease.epoch})")
    if until_eof:
        at_end_of_input(lambda: loop.call_soon_threadsafe(stop.set))
    await stop.wait()
    await edge.stop()
    await twin.stop()
