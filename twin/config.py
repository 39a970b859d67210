"""The service's settings: one TOML file, every key documented here and in docs/settings.md."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grid_models.errors import InvalidInput, Issue


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(_Strict):
    """One network.

    Attributes:
        name: in signals, states and requests.
        model: network file, or `pandapower:NAME`.
        cycle_s: distance of estimated instants; by default 1 s for power, 10 s for water.
        history: folder of readings with known leaks or repairs, as `twin leaks` reads it; leaks of a water network are
            searched for with what it teaches. By default none: only bursts are found.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    model: str
    cycle_s: float | None = Field(default=None, ge=0.001, le=86_400)
    history: Path | None = None


class PumpConfig(_Strict):
    """A pump and the bus that feeds it.

    Attributes:
        water: name of the water network.
        pump: id of the pump.
        power: name of the power network.
        bus: pandapower's index of the bus.
        efficiency: of motor and drive [1].
    """

    water: str
    pump: str
    power: str
    bus: int
    efficiency: float = Field(default=0.9, gt=0, le=1)


class TlsConfig(_Strict):
    """How the service proves who it is, and asks callers to.

    Attributes:
        certificate: PEM file of the service's certificate chain.
        key: PEM file of its private key.
        client_ca: PEM file of the authorities whose certificates callers must show; by default callers need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Config(_Strict):
    """The service.

    Attributes:
        name: of the twin.
        listen: address of the gRPC server; port 0 takes a free one and writes it to `store/port`.
        store: folder of journal and archive.
        signals: CSV of the point list.
        lateness_s: how late a row may come and still change states.
        clock: `system`, or `stream` for a replayed day.
        keep_days: how long measurements and the past of states are kept; by default for ever.
        tls: certificates; without them the service speaks plain text.
        networks: at least one.
        pumps: what ties water to power.
    """

    name: str = Field(default="city", pattern=r"^[a-z][a-z0-9-]*$")
    listen: str = "127.0.0.1:50051"
    store: Path = Path("store")
    signals: Path
    lateness_s: float = Field(default=60.0, ge=0)
    clock: Literal["system", "stream"] = "system"
    keep_days: float | None = Field(default=None, ge=1)
    tls: TlsConfig | None = None
    networks: tuple[NetworkConfig, ...] = Field(min_length=1)
    pumps: tuple[PumpConfig, ...] = ()


def read_config(path: Path) -> Config:
    """Read `twin.toml`; relative paths in it are relative to its folder.

    Raises:
        InvalidInput: no such file, no TOML, or settings that are unknown or out of bounds; all of them at once.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput([Issue("", "", (), f"cannot be read: {error.strerror}", file=str(path))]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput([Issue("", "", (), f"is not TOML: {error}", file=str(path))]) from None
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        issues = [Issue("setting", ".".join(map(str, e["loc"])), (), e["msg"].lower(), file=str(path)) for e in error.errors()]
        raise InvalidInput(issues) from None
    _check_names(config, path)
    home = path.resolve().parent
    networks = tuple(
        n.model_copy(
            update={
                "model": n.model if ":" in n.model else str(home / n.model),
                "history": n.history and home / n.history,
            }
        )
        for n in config.networks
    )
    update: dict[str, Any] = {"store": home / config.store, "signals": home / config.signals, "networks": networks}
    if config.tls is not None:
        files = {k: home / v for k, v in dict(config.tls).items() if v is not None}
        update["tls"] = config.tls.model_copy(update=files)
    return config.model_copy(update=update)


def _check_names(config: Config, path: Path) -> None:
    """Networks have names of their own, and pumps name networks that are there."""
    names = [n.name for n in config.networks]
    issues = [
        Issue("setting", "networks", (n,), "appears more than once", file=str(path))
        for n in sorted({n for n in names if names.count(n) > 1})
    ]
    for pump in config.pumps:
        for field, network in (("water", pump.water), ("power", pump.power)):
            if network not in names:
                text = f"no network {network}; there are {', '.join(names)}"
                issues.append(Issue("setting", f"pumps.{field}", (pump.pump,), text, file=str(path)))
    if issues:
        raise InvalidInput(issues)
