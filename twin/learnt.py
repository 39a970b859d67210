"""What a history teaches of a town, once: `twin leaks` searches a year with it, the live search every hour.

    readings of a year, its leaks or repairs -> calibration, noise (`solvers.water.leak_search`)
                                             -> what is usual of its readings (`twin.hearing`)
                                             -> leaks that still ran at its end

It is kept beside the store under the hash of all that it depends on: the network, the history's files, the sensors, and the
code that learns. That hash numbers the revision of the parameters which the live search goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import count
from os import fsync
from pathlib import Path

import numpy as np

import solvers.water.leak_search
import twin.hearing
import twin.scada_week
import twin.scada_year
from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.calibration import Calibration, calibrate
from solvers.water.leak_search.memory import Known
from solvers.water.leak_search.noise import Noise, learn_noise
from solvers.water.leak_search.readings import Hours, Sensors
from solvers.water.leak_search.search import LeakSearch
from solvers.water.leak_search.town import Parameters, Town
from twin.hearing import Usual
from twin.packing import Unreadable, packed, unpacked
from twin.scada_year import ScadaYear, only_shared, read_year

Told = Callable[[str, float], None]
WORTH_CARRYING_M3_PER_H = 1.0


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a history has taught.

    Args:
        sensors: that were heard in it.
        parameters: of the town.
        noise: that is left.
        usual: of its readings.
        known: leaks that still ran at its end.
        since_s: when each of them began, seconds since 1970 UTC.
        end_s: begin of its last hour.
        revision: hash of all that this depends on; empty where it is not kept.
    """

    sensors: Sensors
    parameters: Parameters
    noise: Noise
    usual: Usual
    known: tuple[Known, ...]
    since_s: tuple[int, ...]
    end_s: float
    revision: str = ""

    def town(self, network: WaterNetwork) -> Town:
        """The calibrated town."""
        return Town(network, self.sensors).with_parameters(self.parameters)

    def carried_into(self, start_s: float) -> tuple[tuple[Known, int], ...]:
        """Leaks that run already when a search begins, and since when [s]; none where it does not begin after the history."""
        return tuple(zip(self.known, self.since_s, strict=True)) if start_s > self.end_s else ()

    def search(self, network: WaterNetwork, start_s: float) -> LeakSearch:
        """A search that begins at an hour; one that does not follow the history knows no leak and no bias."""
        known = tuple(leak for leak, _ in self.carried_into(start_s))
        noise = self.noise if start_s > self.end_s else _without_bias(self.noise)
        return LeakSearch(self.town(network), noise, known)


def learn(network: WaterNetwork, past: ScadaYear, told: Told) -> Learnt:
    """Learn from a history.

    Args:
        network: the nominal model.
        past: the history; the flows of its leaks are taken from the truth where it is known, else found from the repairs.
        told: is told the stage and the share of it that is done.
    """
    calibration, noise = _calibrated(network, past, told)
    known, since_s = _running(calibration, noise, past, told)
    usual, end_s = Usual.of(past.hours), float(past.hours.start_s[-1])
    return Learnt(past.sensors, calibration.town.parameters, noise.alone(), usual, known, since_s, end_s)


def kept(folder: Path, network: WaterNetwork, history: Path, sensors: Sensors, told: Told) -> Learnt:
    """What a history teaches of the sensors that are there, learnt only where it has not been.

    Args:
        folder: where it is kept.
        network: the nominal model.
        history: its folder, as `twin.scada_year` describes it.
        sensors: that are there now.
        told: as in `learn`.

    Raises:
        InvalidInput: the history cannot be read, or has none of these sensors.
    """
    past = only_shared(read_year(history, network), sensors)
    digest = sha256(packed((network.revision, past.sensors)))
    for file in [*sources(), *sorted(p for p in history.iterdir() if p.is_file())]:
        digest.update(file.name.encode() + b" " + file.read_bytes())
    revision = digest.hexdigest()[:12]
    path = folder / f"{revision}.learnt"
    try:
        found = unpacked(path.read_bytes())
        if isinstance(found, Learnt):
            return found
    except (OSError, Unreadable):  # not learnt yet, or cut off while it was written
        pass
    learnt = replace(learn(network, past, told), revision=revision)
    write_whole(path, [packed(learnt)])
    return learnt


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that is there as a whole or not at all, and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.writelines(pieces)
        file.flush()
        fsync(file.fileno())
    part.replace(path)


def sources() -> Sequence[Path]:
    """The code that learns and searches."""
    home = Path(str(solvers.water.leak_search.__file__)).parent
    modules = (twin.hearing, twin.scada_week, twin.scada_year)
    return [*sorted(home.glob("*.py")), *(Path(str(m.__file__)) for m in modules), Path(__file__)]


def _calibrated(network: WaterNetwork, past: ScadaYear, told: Told) -> tuple[Calibration, Noise]:
    town = Town(network, past.sensors)
    if not town.zones.balanced[np.unique(town.zone_of_pipe[town.zone_of_pipe >= 0])].any():
        text = "no part of the network has flow meters at all its borders, tanks included: its consumption is unknown"
        raise InvalidInput([Issue("", "flow", past.sensors.flow, text)])
    row = {pipe: i for i, pipe in enumerate(town.pipe_ids)}
    leaks = np.zeros((len(past.hours), len(town.pipe)))
    repaired: list[tuple[int, int]] = []
    listed = past.truth.pipe if past.truth is not None else tuple(pipe for pipe, _ in past.repairs)
    if unknown := tuple(pipe for pipe in listed if pipe not in row):
        raise InvalidInput([Issue("pipe", "id", unknown, "the history's leaks are on pipes that the network does not have")])
    if past.truth is not None:
        for i, pipe in enumerate(past.truth.pipe):
            leaks[:, row[pipe]] += past.truth.flow_m3_per_h[:, i]
    else:
        first = past.hours.start_s[0]
        for pipe, instant in past.repairs:
            hour = int((instant.astype("datetime64[s]").astype(np.int64) - first) // 3600)
            if 0 < hour <= len(past.hours):
                repaired.append((row[pipe], hour))
    stages = count(1)
    calibration = calibrate(town, past.hours, leaks, repaired, told=lambda text: told(text, min(next(stages), 5) / 6))
    told("learning the noise", 0.9)
    return calibration, learn_noise(calibration, past.hours)


def _running(
    calibration: Calibration, noise: Noise, past: ScadaYear, told: Told
) -> tuple[tuple[Known, ...], tuple[int, ...]]:  # fmt: skip
    """Leaks that still ran at the history's end, from its truth, else from searching it."""
    pipe_ids = calibration.town.pipe_ids
    if past.truth is not None:
        last = past.truth.flow_m3_per_h[-1]
        running = [i for i in range(len(last)) if last[i] > 0]
        known = tuple(Known(pipe_ids.index(past.truth.pipe[i]), float(last[i])) for i in running)
        return known, tuple(int(past.truth.start[i].astype("datetime64[s]").astype(np.int64)) for i in running)
    search = LeakSearch(calibration.town, _without_bias(noise))
    for h in range(len(past.hours)):
        search.step(past.hours[h])
        if h % 24 == 0:
            told("searching the history", h / len(past.hours))
    belief = search.belief
    running = [k for k, track in enumerate(belief.tracks) if belief.flow[k] >= WORTH_CARRYING_M3_PER_H * search.walks.unit]
    known = tuple(Known(belief.tracks[k].pipe, float(belief.flow[k])) for k in running)
    return known, tuple(begin_s(past.hours, belief.tracks[k].onset) for k in running)


def begin_s(hours: Hours, onset: int) -> int:
    """When a leak began, seconds since 1970 UTC; one older than the hours with them."""
    return int(hours.start_s[max(onset, 0)])


def _without_bias(noise: Noise) -> Noise:
    return replace(noise, last_bias=np.zeros_like(noise.last_bias))
