"""A pipe closed without a word: told from a leak and from a faulty sensor, and let go when it is open again."""

from dataclasses import dataclass, field

import numpy as np

from grid_models.formats import read
from grid_models.water.network import WaterNetwork
from solvers.water.closures import explain, first_order
from solvers.water.leak_memory import Memory, Observation, Settings, Verdict
from solvers.water.leaks import step
from solvers.water.plan import CLOSED, prepare
from solvers.water.sensitivity import Linear
from solvers.water.steady import Boundary, Scratch, initial_boundary, steady

SIGMA = 0.02


@dataclass
class Town:
    """A made-up town: every pipe has one picture as a leak and another as a closure."""

    seed: int = 1
    closed: tuple[int, ...] = ()
    leaking: int = -1
    fault: float = 0.0
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.leak = -np.abs(self.rng.normal(30.0, 15.0, (12, 40)))
        self.shut = self.rng.normal(0.0, 0.15, (12, 40))
        self.memory = Memory.empty(12, np.ones(12), Settings())

    def step(self) -> Verdict:
        believed = [k.pipe for k in self.memory.closed]
        residual = self.rng.normal(0.0, SIGMA, 12)
        residual += self.shut[:, list(self.closed)].sum(axis=1) - self.shut[:, believed].sum(axis=1)
        if self.leaking >= 0:
            residual += self.leak[:, self.leaking] * 0.008
        residual -= sum((self.leak[:, k.pipe] * k.flow for k in self.memory.leaks), np.zeros(12))
        residual[3] += self.fault
        seen = Observation(
            residual, np.full(12, SIGMA), 0.015**2 * np.eye(12), np.ones(12), np.ones(3), self.leak,
            closing=lambda which: self.shut if which is None else self.shut[:, which], opening=-self.shut[:, believed],
        )  # fmt: skip
        self.memory, verdict = step(self.memory, seen, np.full(40, 100.0))
        return verdict

    def run(self, steps: int) -> list[Verdict]:
        return [self.step() for _ in range(steps)]


def told(verdicts: list[Verdict]) -> tuple[list[int], list[int], int]:
    """Pipes called closed, pipes called open again, leaks."""
    closed = [k.pipe for v in verdicts for k in v.closed]
    opened = [k.pipe for v in verdicts for k in v.opened]
    return closed, opened, sum(len(v.started) for v in verdicts)


def test_a_closed_pipe_is_named_and_let_go() -> None:
    for pipe in (5, 11, 23):
        town = Town(seed=pipe)
        assert told(town.run(60)) == ([], [], 0)
        town.closed = (pipe,)
        assert told(town.run(3)) == ([pipe], [], 0)
        assert told(town.run(60)) == ([], [], 0)
        town.closed = ()
        assert told(town.run(3)) == ([], [pipe], 0)
        assert told(town.run(60)) == ([], [], 0)


def test_two_closed_pipes_are_two_alarms() -> None:
    town = Town()
    town.run(60)
    town.closed = (5,)
    town.run(12)
    town.closed = (5, 11)
    assert told(town.run(3)) == ([11], [], 0)
    town.closed = (11,)
    assert told(town.run(3)) == ([], [5], 0)


def test_a_leak_is_a_leak_and_a_faulty_sensor_neither() -> None:
    town = Town()
    town.run(60)
    town.leaking = 7
    assert told(town.run(6)) == ([], [], 1)
    town = Town()
    town.run(60)
    town.fault = 0.5
    assert told(town.run(12)) == ([], [], 0)


def test_a_closure_that_one_sensor_alone_shows_is_told_with_that_sensor() -> None:
    town = Town()
    town.shut[:, 9] = np.where(np.arange(12) == 3, -0.25, 0.0)
    town.run(60)
    town.closed = (9,)
    found = [k for v in town.run(4) for k in v.closed]
    assert [(k.pipe, k.sensor) for k in found] == [(9, 3)]
    assert told(town.run(60)) == ([], [], 0)
    town.closed = ()
    assert told(town.run(3)) == ([], [9], 0)
    town.closed = (5,)
    assert [(k.pipe, k.sensor) for v in town.run(4) for k in v.closed] == [(5, -1)]


def test_one_sensor_alone_must_show_a_closure_more_clearly_than_several() -> None:
    for sensors, found in (((3,), []), ((3, 4), [9])):
        town = Town()
        town.shut[:, 9] = np.where(np.isin(np.arange(12), sensors), -0.11, 0.0)
        town.run(60)
        town.closed = (9,)
        assert told(town.run(12)) == (found, [], 0)


def test_a_repair_is_an_end_and_nothing_else() -> None:
    for seed in range(1, 5):
        town = Town(seed=seed)
        if seed == 1:
            town.shut[:, 9] = -town.leak[:, 7] * 0.008  # closing this pipe looks like the repair
        if seed == 2:
            town.leak[:, 20] = -town.leak[:, 7]  # so does this pipe's leak
        town.run(60)
        town.leaking = 7
        assert told(town.run(40)) == ([], [], 1)
        town.leaking = -1
        verdicts = town.run(40)  # the model error must not have learnt what the repair did to the residuals
        assert told(verdicts) == ([], [], 0)
        assert [k.pipe for v in verdicts for k in v.ended] == [7]


def test_where_both_look_the_same_the_leak_says_so() -> None:
    town = Town()
    town.run(60)
    town.shut[:, 9] = town.leak[:, 7] * 0.008
    town.leaking = 7
    verdicts = town.run(6)
    assert told(verdicts) == ([], [], 1)
    rivals = [k.rival.pipe for v in verdicts for k in v.started if k.rival is not None]
    assert rivals == [9]


def test_pictures_to_first_order_find_the_pipes_that_an_exact_solve_finds() -> None:
    network = read("wntr:Net3")
    assert isinstance(network, WaterNetwork)
    plan = prepare(network)
    scratch, boundary = Scratch(plan), initial_boundary(network)
    found = steady(plan, scratch, boundary).value
    pipes = np.asarray(network.pipe_link)
    sensors = np.flatnonzero(network.node_table == 0)[::6]
    linear = Linear(plan, scratch, boundary, found)
    ends = plan.laws.start[pipes], plan.laws.end[pipes]
    rough = first_order(linear, found.flow_m3_per_s[pipes], pipes, *ends, linear.heads(sensors))

    def exact(which: np.ndarray | None) -> np.ndarray:
        assert which is not None
        out = np.zeros((len(sensors), len(which)))
        for n, link in enumerate(pipes[which]):
            status = boundary.status.copy()
            status[link] = CLOSED
            closed = steady(plan, scratch, Boundary(boundary.demand_m3_per_s, boundary.head_m, status, boundary.setting), found)
            out[:, n] = np.nan_to_num(closed.value.head_m[sensors] - found.head_m[sensors])
        return out

    every = exact(np.arange(len(pipes)))
    alone = np.abs(rough).max(axis=0) == 0  # only it leads there: first order says nothing
    felt = np.flatnonzero((np.abs(every).max(axis=0) > 0.2) & ~alone)
    assert len(felt) > 10
    variance = SIGMA**2 * np.eye(len(sensors))
    ranks = []
    for row in felt:
        best = explain(every[:, row], variance, rough, exact, 0.2)
        same = np.abs(every[:, best.pipes] - every[:, [row]]).max(axis=0) < SIGMA
        ranks.append(bool(same[0]))
    assert np.mean(ranks) > 0.9
