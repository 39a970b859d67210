"""The demo's verdict: what was injected, what was found and when, and which alarms were false."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grid_models.formats import read
from grid_models.water.zones import pipe_distance_m
from twin.demo import city
from twin.demo.scada import MIDNIGHT_US
from twin.port import Transition, TwinEvent

_LATER_S = 900  # an alarm may still be raised this long after its cause has gone
_NEAR_M = 300.0
_CLASS_PERCENT = 2.0
_CODES = {"CLOSURE": ("CLOSURE", "LEAK")}  # where both look the same, the leak's alarm says so
_PIPE = re.compile(r"pipe \w+")


@dataclass(frozen=True)
class Finding:
    """One injected event and what became of it.

    Args:
        code: of the alarm that was due.
        what: the culprit as the truth knows it.
        start_s: seconds after midnight.
        found: the alarm that names it, None where there is none.
        after_s: from its start to the alarm.
        remark: how near, how large.
    """

    code: str
    what: str
    start_s: float
    found: TwinEvent | None
    after_s: float
    remark: str


@dataclass(frozen=True)
class Verdict:
    """All findings, and the alarms that nothing real explains."""

    findings: tuple[Finding, ...]
    false_alarms: tuple[TwinEvent, ...]

    @property
    def missed(self) -> int:
        """Injected events that no alarm names."""
        return sum(f.found is None for f in self.findings)


def judge(truth: dict[str, Any], events: Sequence[TwinEvent]) -> Verdict:
    """Hold the twin's alarms against the truth.

    Args:
        truth: the SCADA's log.
        events: all the twin's events of the day.
    """
    raised = [e for e in events if e.transition is Transition.RAISED and e.alarm_id]
    explained: set[str] = set()
    findings = []
    for entry in truth["events"]:
        latest = {e.alarm_id: e for e in events if e.candidates}
        mine = [
            e
            for e in raised
            if e.code in _CODES.get(entry["code"], (entry["code"],)) and _names(latest.get(e.alarm_id, e), e, entry, truth)
        ]
        explained |= {e.alarm_id for e in mine}
        first = min(mine, key=lambda e: e.valid_time_us, default=None)
        after = _seconds(first) - entry["start_s"] if first else float("nan")
        what, remark = _told(entry, first, events, truth)
        findings.append(Finding(entry["code"], what, entry["start_s"], first, after, remark))
    for event in raised:
        if event.alarm_id not in explained and _true(event, truth):
            explained.add(event.alarm_id)
    false = tuple(e for e in raised if e.alarm_id not in explained and not (e.cause and e.cause in explained))
    return Verdict(tuple(findings), false)


def _seconds(event: TwinEvent) -> float:
    return (event.valid_time_us - MIDNIGHT_US) / 1e6


def _names(latest: TwinEvent, event: TwinEvent, entry: dict[str, Any], truth: dict[str, Any]) -> bool:
    """Whether an alarm, raised in time, names the culprit; a leak's location counts as it was last told."""
    at = _seconds(event)
    if not entry["start_s"] <= at <= entry["end_s"] + _LATER_S:
        return False
    match entry["code"]:
        case "LINE_OVERLOAD":
            return _near_worst(event.elements[0], at, truth)
        case "LEAK":
            return _distance_m(latest.elements[0], entry["element"]) <= _NEAR_M or entry["element"] in latest.elements
        case "CLOSURE":  # pipes in series are one to the sensors: the alarm names them together
            named = event.elements if event.code == "CLOSURE" else _PIPE.findall(event.message.partition("the closing of ")[2])
            return entry["element"] in named
        case _:
            return bool(event.elements[0] == entry["element"])


def _near_worst(element: str, at_s: float, truth: dict[str, Any]) -> bool:
    """Whether a line truly was the most loaded one, up to what a meter of class 1 can tell apart from it."""
    worst: dict[float, float] = {}
    for name, times in truth["overloaded"].items():
        for t, loading in times if name.startswith("line") else ():
            worst[t] = max(worst.get(t, 0.0), loading)
    return any(
        loading >= worst[t] - _CLASS_PERCENT for t, loading in truth["overloaded"].get(element, ()) if abs(t - at_s) <= _LATER_S
    )


def _true(event: TwinEvent, truth: dict[str, Any]) -> bool:
    """Whether an alarm that was not injected as such is real all the same: a consequence of what was."""
    at = _seconds(event)
    if event.code in ("LINE_OVERLOAD", "TRANSFORMER_OVERLOAD"):
        # An element just below its limit may be estimated just above it: what hangs on the same flow must be overloaded.
        return any(abs(at - t) <= _LATER_S for times in truth["overloaded"].values() for t, _ in times)
    if event.code == "IMPLAUSIBLE_VALUE":  # a consumer that grew that far, a meter that went that bad
        real = [e for e in truth["events"] if e["code"] in ("LINE_OVERLOAD", "BAD_METER")]
        return any(e["start_s"] <= at <= e["end_s"] + _LATER_S for e in real)
    trips = [e for e in truth["events"] if e["code"] == "PUMP_WITHOUT_SUPPLY"]
    if event.code == "SUPPLY_LOST":
        return any(t["start_s"] <= at <= t["end_s"] + _LATER_S for t in trips)
    return False


def _told(
    entry: dict[str, Any], first: TwinEvent | None, events: Sequence[TwinEvent], truth: dict[str, Any]
) -> tuple[str, str]:
    """The culprit in words, and how well it was hit."""
    if entry["code"] == "LINE_OVERLOAD":
        mine = {k: max(x for _, x in v) for k, v in truth["overloaded"].items() if k.startswith("line")}
        line = max(mine, key=lambda k: mine[k], default="no line")
        return f"{line}, {mine.get(line, 0):.0f} % (by {entry['element']})", first.message if first else ""
    if entry["code"] == "CLOSURE":
        return f"{entry['element']}, moves a sensor by {entry['size']:.2f} m", first.message if first else ""
    if entry["code"] == "LEAK" and first is not None:
        last = [e for e in events if e.alarm_id == first.alarm_id and e.candidates][-1]
        best = last.candidates[0]
        rank = next((i for i, c in enumerate(last.candidates, 1) if c.element == entry["element"]), 0)
        place = f"rank {rank}" if rank else "not among ten"
        away = _distance_m(best.element, entry["element"])
        return (
            f"{entry['element']}, {entry['size']:.0f} m3/h at 40 m",
            f"{best.element}, {away:.0f} m away, {place}; {best.flow_m3_per_h:.0f} m3/h",
        )
    return entry["element"], first.message if first else ""


def _distance_m(a: str, b: str) -> float:
    """Along the pipes between the nearest ends of two pipes."""
    model = read(str(city.water_inp()))
    links = model.links([x.removeprefix("pipe ") for x in (a, b)])  # type: ignore[attr-defined]  # a WaterNetwork
    if (links < 0).any():
        return float("inf")
    start, end = model.link_from[links], model.link_to[links]  # type: ignore[attr-defined]
    distances = pipe_distance_m(model, start[:1].tolist() + end[:1].tolist())  # type: ignore[arg-type]
    return float(min(distances[:, start[1]].min(), distances[:, end[1]].min()))
