"""Small water networks whose answers can be checked by hand; each is the same on every call."""

from __future__ import annotations

from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_text import InpText
from grid_models.water.network import WaterNetwork

_TWO_RESERVOIRS = """
[RESERVOIRS]
 upper  60
 lower  40
[JUNCTIONS]
 middle  10  5
[PIPES]
 feed   upper   middle  1000  200  120
 drain  middle  lower   1500  200  110
[OPTIONS]
 UNITS LPS
 HEADLOSS H-W
[END]
"""

_PUMPED_TANK = """
[RESERVOIRS]
 well  10
[JUNCTIONS]
 station  12  0
 street   15  4  day
[TANKS]
 tower  55  3  0.5  6  12  0
[PIPES]
 rising  station  tower   800  250  120
 main    tower    street  600  200  120
[PUMPS]
 lift  well  station  HEAD  lift
[CURVES]
 lift  20  60
[PATTERNS]
 day  0.4 0.3 0.3 0.4 0.7 1.2  1.6 1.5 1.3 1.2 1.1 1.2
 day  1.3 1.2 1.1 1.0 1.1 1.3  1.5 1.4 1.1 0.8 0.6 0.4
[CONTROLS]
 LINK lift CLOSED IF NODE tower ABOVE 5
 LINK lift OPEN IF NODE tower BELOW 2
[TIMES]
 DURATION 24:00
[OPTIONS]
 UNITS LPS
 HEADLOSS H-W
[END]
"""

_REDUCED_ZONE = """
[RESERVOIRS]
 hill  90
[JUNCTIONS]
 gate    20  1
 inlet   18  0
 low     10  3
 valley   5  2
[PIPES]
 trunk   hill   gate    500  200  130
 supply  inlet  low     400  150  130
 branch  low    valley  300  100  130
[VALVES]
 reducer  gate  inlet  150  PRV  30  0
[OPTIONS]
 UNITS LPS
 HEADLOSS H-W
[END]
"""


def two_reservoirs() -> WaterNetwork:
    """A junction between two reservoirs 20 m apart in head; one unknown head, solvable by bisection.

    >>> two_reservoirs().node_ids.tolist()
    ['middle', 'upper', 'lower']
    """
    return _network("two_reservoirs", _TWO_RESERVOIRS)


def pumped_tank() -> WaterNetwork:
    """A well pump that fills a tower between two levels while a street draws its daily pattern."""
    return _network("pumped_tank", _PUMPED_TANK)


def reduced_zone() -> WaterNetwork:
    """A high reservoir over a low zone behind a pressure reducing valve set to 30 m."""
    return _network("reduced_zone", _REDUCED_ZONE)


def looped_town(rows: int = 4, columns: int = 5) -> WaterNetwork:
    """A chequerboard of streets fed by a reservoir at one corner and a tank at the opposite one.

    Args:
        rows: streets from west to east, at least 2.
        columns: streets from south to north, at least 2.

    >>> looped_town(3, 3).tables["pipe"].size
    14
    """
    width = max(2, len(str(columns - 1)))
    node = [[f"J{r}{c:0{width}d}" for c in range(columns)] for r in range(rows)]
    junctions, pipes, places = [], [], []
    for r in range(rows):
        for c in range(columns):
            junctions.append(f" {node[r][c]} {20 - 2 * r + c % 3} {1 + (r + 2 * c) % 3} day")
            places.append(f" {node[r][c]} {200 * c} {200 * r}")
            if c + 1 < columns:
                pipes.append(f" E{r}{c:0{width}d} {node[r][c]} {node[r][c + 1]} 200 {150 if r else 250} 120")
            if r + 1 < rows:
                pipes.append(f" N{r}{c:0{width}d} {node[r][c]} {node[r + 1][c]} 200 {150 if c else 200} 110")
    corner = node[rows - 1][columns - 1]
    pipes += [f" source works {node[0][0]} 500 300 130", f" tower tank {corner} 300 200 130"]
    places += [" works -400 0", f" tank {200 * columns} {200 * rows}"]
    sections = {
        "JUNCTIONS": junctions,
        "RESERVOIRS": [" works 75"],
        "TANKS": [" tank 62 4 0 8 15 0"],
        "PIPES": pipes,
        "PATTERNS": [" day 0.5 0.4 0.5 0.9 1.4 1.3 1.1 1.0", " day 1.1 1.2 1.5 1.1"],
        "TIMES": [" DURATION 24:00", " PATTERN TIMESTEP 2:00"],
        "OPTIONS": [" UNITS LPS", " HEADLOSS H-W"],
        "COORDINATES": places,
    }
    text = "".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())
    return _network("looped_town", text + "[END]\n")


def _network(name: str, text: str) -> WaterNetwork:
    return read_text(InpText(text, name), name)
