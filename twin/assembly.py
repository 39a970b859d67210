"""From settings to parts: models, catalogue, estimators, watches, and the engine's setup.

The live service and the replay assemble the same parts, so they compute the same states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from grid_models.coupling import PumpSupply
from grid_models.errors import InvalidInput, Issue
from grid_models.formats import read
from grid_models.measurements import Catalogue
from grid_models.network import Network
from grid_models.power.network import PowerNetwork
from grid_models.water.network import WaterNetwork
from twin.alarms import AlarmWatch
from twin.config import Config, NetworkConfig
from twin.errors import TooOld
from twin.estimators import Estimator
from twin.estimators.power import PowerEstimator
from twin.estimators.water import WaterEstimator
from twin.leak_watch import LeakWatch
from twin.learnt import Told, kept
from twin.point_list import kept_point_list, read_point_list
from twin.search_watch import SearchWatch
from twin.setup import NetworkSetup, Setup
from twin.watches import Watch

_CYCLE_S = {"power": 1.0, "water": 10.0}
_HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Parts:
    """What a twin is made of, besides its store.

    Args:
        catalogue: the signals.
        estimators: by network.
        kinds: `power` or `water` by network.
        networks: cycles and couplings.
        watches: alarms and leak detection.
        lateness_us: how late a row may come.
        stream_clock: whether the data carry the time.
        keep_us: how long measurements and the past are kept; None = for ever.
        checkpoint_us: how often a checkpoint goes to the journal.
        bind: the same models under the point list of a revision; None = as it stands in its file now.
        searches: watches that only tell: no state is made from what they find, so that computing the past leaves them out.
    """

    catalogue: Catalogue
    estimators: Mapping[str, Estimator]
    kinds: Mapping[str, str]
    networks: tuple[NetworkSetup, ...]
    watches: tuple[Watch, ...]
    lateness_us: int
    stream_clock: bool
    keep_us: int | None = None
    checkpoint_us: int = 900_000_000
    bind: Callable[[int | None], Parts] | None = None
    searches: tuple[SearchWatch, ...] = ()

    @property
    def live_watches(self) -> tuple[Watch, ...]:
        """All watches."""
        return (*self.watches, *self.searches)

    def setup(self, epoch: int) -> Setup:
        """The engine's setup in an epoch."""
        lasting = {w.name: w.told_anew for w in self.searches}
        return Setup(
            epoch, self.catalogue, self.networks, self.lateness_us, self.stream_clock, self.checkpoint_us, self.live_watches,
            lasting,
        )  # fmt: skip

    def of(self, revision: int) -> Parts:
        """The same models under the point list of a revision.

        Raises:
            TooOld: that list is not kept, or does not fit the models any more.
        """
        if revision == self.catalogue.revision or self.bind is None:
            return self
        try:
            return self.bind(revision)
        except InvalidInput as error:
            raise TooOld(f"revision {revision} of the point list cannot be used any more: {error}") from error


def assemble(config: Config, told: Told | None = None) -> Parts:
    """Read everything that the settings name.

    Args:
        config: the settings.
        told: where leaks are to be searched for; is told how far it is with learning from the histories.

    Raises:
        InvalidInput: files that cannot be read, signals of unknown networks or elements, pumps or buses that are not
            there.
    """
    models = {entry.name: read(entry.model) for entry in config.networks}

    @lru_cache(maxsize=2)
    def former(revision: int) -> Parts:
        return _bound(config, models, read_point_list(kept_point_list(config.store, revision), config.store), bind, None)

    def bind(revision: int | None) -> Parts:
        if revision is not None:
            return former(revision)
        return _bound(config, models, read_point_list(config.signals, config.store), bind, told)

    return bind(None)


def _bound(
    config: Config, models: Mapping[str, Network], catalogue: Catalogue, bind: Callable[[int | None], Parts], told: Told | None
) -> Parts:
    """Models and signals together."""
    known = {n.name for n in config.networks}
    strangers = sorted({s.network for s in catalogue.signals} - known)
    if strangers:
        raise InvalidInput(
            [Issue("signal", "network", (n,), f"no such network; there are {', '.join(sorted(known))}") for n in strangers]
        )
    supplies = tuple(PumpSupply(p.water, p.pump, p.power, p.bus, p.efficiency) for p in config.pumps)
    estimators: dict[str, Estimator] = {}
    kinds: dict[str, str] = {}
    networks: list[NetworkSetup] = []
    watches: list[Watch] = []
    searches: list[SearchWatch] = []
    for entry in config.networks:
        model = models[entry.name]
        if isinstance(model, PowerNetwork):
            estimators[entry.name] = PowerEstimator(model, catalogue, entry.name)
            kinds[entry.name] = "power"
            watches.append(AlarmWatch.for_power(entry.name, model, catalogue, supplies))
        elif isinstance(model, WaterNetwork):
            mine = tuple(s for s in supplies if s.water == entry.name)
            water = WaterEstimator(model, catalogue, entry.name, mine)
            estimators[entry.name], kinds[entry.name] = water, "water"
            watches += [AlarmWatch.for_water(entry.name, model, catalogue), LeakWatch(water)]
            if entry.history is not None and told is not None:
                searches.append(_search(entry, entry.history, water, config.store, told))
        sources = tuple(sorted({s.power for s in supplies if s.water == entry.name}))
        networks.append(NetworkSetup(entry.name, _cycle_us(entry, kinds[entry.name]), sources))
    _check_supplies(supplies, estimators)
    return Parts(
        catalogue, estimators, kinds, tuple(networks), tuple(watches), round(config.lateness_s * 1e6),
        config.clock == "stream", None if config.keep_days is None else round(config.keep_days * 86_400e6), bind=bind,
        searches=tuple(searches),
    )  # fmt: skip


def _search(entry: NetworkConfig, history: Path, water: WaterEstimator, store: Path, told: Told) -> SearchWatch:
    """The search for leaks that goes by a network's history."""
    cycle_us = _cycle_us(entry, "water")
    if _HOUR_US % cycle_us:
        raise InvalidInput([Issue("setting", "cycle_s", (entry.name,), "leaks are searched for by the hour: must divide it")])
    learnt = kept(store / "learnt", water.model, history, water.sensors(), told)
    return SearchWatch(water, learnt, cycle_us, store / "searches")


def _cycle_us(entry: NetworkConfig, kind: str) -> int:
    return round((entry.cycle_s or _CYCLE_S[kind]) * 1e6)


def _check_supplies(supplies: tuple[PumpSupply, ...], estimators: Mapping[str, Estimator]) -> None:
    issues = []
    for supply in supplies:
        power, water = estimators.get(supply.power), estimators.get(supply.water)
        if power is None or supply.bus not in power.model.tables["bus"].index:
            issues.append(Issue("pump", "bus", (supply.pump,), f"{supply.power} has no bus {supply.bus}"))
        if water is None or supply.pump not in water.model.tables["pump"].index:
            issues.append(Issue("pump", "pump", (supply.pump,), f"{supply.water} has no such pump"))
    if issues:
        raise InvalidInput(issues)
