"""Watches a water network for leaks and closures: settled states' residuals through the detector of solvers/water/leaks.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from grid_models.state import Freshness, NetworkState
from grid_models.water.zones import pipe_distance_m
from solvers.water.leak_memory import Closure, Leak, Memory, Observation, Settings
from solvers.water.leaks import hear, step
from solvers.water.night_flow import Nights, Rise, rise
from solvers.water.plan import Floats
from twin.estimators import Found
from twin.estimators.water import WaterEstimator
from twin.estimators.water_fork import pattern_seconds
from twin.field_report import FieldReport
from twin.field_voices import FieldVoices
from twin.port import Candidate, EventKind, Evidence, Transition
from twin.watches import Finding

_SHOWN = 10
_SENSORS = 5  # shown as evidence
_ALIKE = 0.1  # of the likeliest pipe's probability, from which on another is told beside it
_MODEL_HEAD_M = 0.008  # what pipes do within the hour that a well-kept model does not know, sensor by sensor
_MODEL_FLOW_SHARE = 0.01
_CREDIBLE = 0.9
_LIKELY = 150  # pipes that a location is judged among
_CREW_M = 280.0  # what a crew searches from one place
_FAR_M = 1e5
_DAY_S = 86400.0
_REPORT_STEPS = (6, 12, 24, 36)  # after the onset: when a refined location is told


class LeakWatch:
    """Implements `twin.watches.Watch`; learns only from states that no correction can reach any more.

    Args:
        estimator: of the network; it predicts with known leaks flowing.
    """

    late = True

    def __init__(self, estimator: WaterEstimator) -> None:
        self.network = estimator.network
        self.name = f"leaks-{estimator.network}-{estimator.model.revision[:8]}"
        self._estimator = estimator
        model = estimator.model
        self._pipe = model.pipe_link
        laws = estimator.plan.laws
        self._ends = laws.start[self._pipe], laws.end[self._pipe]
        self._ids = [str(i) for i in model.link_ids[self._pipe]]
        self._length_m = np.asarray(model.tables["pipe"]["length_m"], dtype=np.float64)
        self._n_head = len(estimator.instrument_uids) - int((~estimator._pump_metered).sum())
        self._n = len(estimator.instrument_uids)
        self._zone = np.maximum(*(estimator.zones.of_node[end] for end in self._ends))
        self._voices = FieldVoices(model, self._zone)
        self._reference = max(float(model.tables["demand"]["base_m3_per_s"].sum()), 1e-6)

    def empty(self) -> Memory:
        """Nothing learnt yet."""
        return Memory.empty(self._n, self._scale(), Settings())

    def step(
        self, memory: Memory, state: NetworkState, coupled: Mapping[str, NetworkState], reports: tuple[FieldReport, ...] = ()
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Look at the next settled state."""
        del coupled
        if state.freshness is not Freshness.FRESH or "nominal" not in state.memory:
            return memory, ()
        second = pattern_seconds(state.valid_time_us) % _DAY_S
        nights = memory.nights.after(state.valid_time_us, second, self._estimator.zone_inflow(state))
        said = {k.number: self._voices.of(k, self._key(k), reports, self._risen(k, nights)) for k in memory.leaks}
        heard = {number: words for number, words in said.items() if words is not None}
        memory, repaired, reopened = hear(replace(memory, nights=nights), heard, self._scale())
        closed = self._pipe[[k.pipe for k in memory.closed]]
        view = self._estimator.leak_view(state, self._flowing(memory), closed)
        signature = view.prediction.signature
        pipes = 0.5 * (signature[:, self._ends[0]] + signature[:, self._ends[1]])
        scale = self._scale()
        floor = np.where(scale == 1.0, _MODEL_HEAD_M, _MODEL_FLOW_SHARE * self._reference)
        seen = Observation(
            residual=view.residual,
            sigma=np.where(np.isfinite(state.memory["value_sigma"]), state.memory["value_sigma"], 1.0),
            model_noise=np.diag(floor**2) + view.noise,
            scale=scale,
            regressors=self._regressors(state),
            signature=np.nan_to_num(pipes),
            closing=partial(view.closing, self._pipe),
            opening=view.opening,
            time_us=state.valid_time_us,
        )
        after, verdict = step(memory, seen, self._length_m)
        findings = [*(self._repaired(leak) for leak in repaired), *(self._opened(closure) for closure in reopened)]
        findings += [self._tell(leak, Transition.RAISED, reports, nights) for leak in verdict.started]
        refined = {k.number for k in verdict.updated if memory.step - k.onset in _REPORT_STEPS} | heard.keys()
        findings += [self._tell(k, Transition.UPDATED, reports, nights) for k in after.leaks if k.number in refined]
        findings += [self._ended(leak) for leak in verdict.ended]
        findings += [self._closed(closure) for closure in verdict.closed]
        findings += [self._opened(closure) for closure in verdict.opened]
        return after, tuple(findings)

    def found(self, memory: Memory) -> Found | None:
        """Leaks as demands, half at each end of their pipe, and closed pipes; None before the first was found."""
        if not memory.issued:
            return None
        lost = self._flowing(memory)
        node = np.flatnonzero(lost)
        return Found(memory.step, node, lost[node], self._pipe[[k.pipe for k in memory.closed]])

    def _scale(self) -> Floats:
        return np.where(np.arange(self._n) < self._n_head, 1.0, 4.0 * self._reference)

    def _flowing(self, memory: Memory) -> Floats:
        """(n_node,) known leaks as demands, half at each end of their pipe."""
        out = np.zeros(len(self._estimator.dims["node"]))
        for leak in memory.leaks:
            for end in self._ends:
                out[end[leak.pipe]] += 0.5 * leak.flow
        return out

    def _regressors(self, state: NetworkState) -> NDArray[np.float64]:
        """1, the inflow to the power of head loss, and what pumps carry: how model error grows."""
        memory = state.memory
        pumped = float(np.maximum(memory["pump_flow"], 0.0).sum())
        inflow = float(np.nansum(np.abs(memory["zone_flow"]))) - pumped
        return np.array([1.0, (max(inflow, 0.0) / self._reference) ** 1.852, pumped / self._reference])

    def _tell(self, leak: Leak, transition: Transition, reports: tuple[FieldReport, ...], nights: Nights) -> Finding:
        place, low_high = leak.place, [q * 3600.0 for q in leak.interval]
        order, away, radius, near = self._ranked(leak)
        best = order[0]
        flow = leak.flow * 3600.0
        likeliest = ", ".join(self._ids[i] for i in np.argsort(-place, kind="stable")[:3])
        message = (
            f"leak of {flow:.0f} m3/h ({low_high[0]:.0f} to {low_high[1]:.0f}) near pipe {self._ids[best]}: {near:.0%} of the "
            f"probability within {_CREW_M:.0f} m (most probable: {likeliest})"
        )
        mine = [r for r in reports if r.report_id in leak.reports]
        words = [r for r in mine if r.kind.of_alarm]
        if words:
            message += f"; {words[-1].line}"
        if leak.rival is not None:
            message += f"; the closing of {', '.join(self._alike(leak.rival))} would look the same"
        candidates = tuple(
            Candidate(f"pipe {self._ids[i]}", float(place[i]), float(leak.flows[i] * 3600.0), float(away[i])) for i in order
        )
        figures = {"flow_m3_per_h": flow, "radius_m": radius, "z": leak.z}
        figures |= {"flow_low_m3_per_h": low_high[0], "flow_high_m3_per_h": low_high[1]}
        elements = tuple(c.element for c in candidates)
        evidence = (*self._sensors(leak), *self._night(leak, nights), *(Evidence("", r.report_id, text=r.line) for r in mine))
        key = self._key(leak)
        return Finding(key, transition, EventKind.LEAK, "LEAK", elements, message, "", candidates, figures, evidence)

    def _risen(self, leak: Leak, nights: Nights) -> Rise | None:
        return rise(nights, leak.onset_us, self._estimator.balance_sigma)

    def _night(self, leak: Leak, nights: Nights) -> list[Evidence]:
        """What the night flow of the likeliest pipe's zone rose by."""
        risen, zone = self._risen(leak, nights), int(self._zone[leak.pipe])
        if risen is None or zone < 0 or not np.isfinite(risen.above[zone]):
            return []
        sigma = float(risen.above[zone] / np.sqrt(risen.variance[zone]))
        above, night = risen.above[zone] * 3600.0, risen.nights[:, zone]
        read = np.isfinite(night)
        before, since = read[: -risen.since].sum(), read[-risen.since :].sum()
        text = f"night flow {above:+.1f} m3/h over {since} nights since, against {before} before"
        name = f"night flow by {', '.join(self._estimator.zone_meters(zone))}"
        return [Evidence(name, "", sigma, "m3/s", tuple(night[read].tolist()), text)]

    def _sensors(self, leak: Leak) -> list[Evidence]:
        """The sensors that show the leak most."""
        if leak.moved is None or leak.trace is None:
            return []
        strongest = np.argsort(-np.nan_to_num(np.abs(leak.moved)), kind="stable")[:_SENSORS]
        name, units = self._estimator.instrument_name, np.where(np.arange(self._n) < self._n_head, "m", "m3/s")
        return [
            Evidence(name(int(i)), "", float(leak.moved[i]), str(units[i]), tuple(leak.trace[:, i].tolist()))
            for i in strongest
            if np.isfinite(leak.moved[i])
        ]

    def _ranked(self, leak: Leak) -> tuple[NDArray[np.int64], Floats, float, float]:
        """Where to look: the pipe around which most of the probability lies, then the others by their own.

        Returns:
            (10,) pipes, (n_pipe,) distances from the first [m], the radius of the credible zone around it [m], and the
            probability within a crew's reach of it.
        """
        place = leak.place
        likely = np.argsort(-place, kind="stable")[:_LIKELY]
        p = place[likely]
        nodes, ends = np.unique([self._ends[0][likely], self._ends[1][likely]], return_inverse=True)
        ways = pipe_distance_m(self._estimator.model, nodes)
        to_pipe = np.minimum(ways[:, self._ends[0]], ways[:, self._ends[1]])
        to_pipe = np.minimum(*to_pipe[ends.reshape(2, -1)])
        between = np.where(np.isfinite(to_pipe[:, likely]), to_pipe[:, likely], _FAR_M)
        near = (between <= _CREW_M) @ p
        # Of the pipes with the most probability in a crew's reach, the one that is least far from where it may be.
        centre = int(np.lexsort((between @ p, -np.round(near, 2)))[0])
        order = likely[[centre, *(i for i in range(len(likely)) if i != centre)][:_SHOWN]]
        by_distance = np.argsort(between[centre], kind="stable")
        inside = int(np.searchsorted(np.cumsum(p[by_distance]), _CREDIBLE * p.sum()))
        radius = float(between[centre][by_distance[min(inside, len(p) - 1)]])
        return order, to_pipe[centre], radius, float(near[centre])

    def _ended(self, leak: Leak) -> Finding:
        return self._over(leak, "flows no more")

    def _repaired(self, leak: Leak) -> Finding:
        return self._over(leak, "has been repaired")

    def _over(self, leak: Leak, how: str) -> Finding:
        pipe = f"pipe {self._ids[leak.pipe]}"
        return Finding(self._key(leak), Transition.CLEARED, EventKind.LEAK, "LEAK", (pipe,), f"the leak near {pipe} {how}")

    def _closed(self, closure: Closure) -> Finding:
        names = self._alike(closure)
        message = f"{names[0]} seems to be closed" + (f", or {', '.join(names[1:])}" if len(names) > 1 else "")
        if closure.sensor >= 0:
            meter = self._estimator.instrument_name(closure.sensor)
            message += f"; {meter} alone shows it, so that meter may be wrong instead"
        figures = {"gain": closure.gain, "strongest_sigma": closure.moved}
        key = self._closure_key(closure)
        return Finding(key, Transition.RAISED, EventKind.ALARM, "CLOSURE", tuple(names), message, "", (), figures)

    def _alike(self, closure: Closure) -> list[str]:
        """The pipes that the sensors cannot tell apart, the likeliest first."""
        return [f"pipe {self._ids[i]}" for i in closure.candidates[closure.probability >= _ALIKE * closure.probability[0]]]

    def _opened(self, closure: Closure) -> Finding:
        pipe = f"pipe {self._ids[closure.pipe]}"
        key = self._closure_key(closure)
        return Finding(key, Transition.CLEARED, EventKind.ALARM, "CLOSURE", (pipe,), f"{pipe} is open again")

    def _key(self, leak: Leak) -> str:
        return f"LEAK/{self.network}/{self.name}/{leak.number}"

    def _closure_key(self, closure: Closure) -> str:
        return f"CLOSURE/{self.network}/{self.name}/{closure.number}"
