"""Mutated .inp files: each is refused with section and line, or solved, or its reason named; none crashes or hangs."""

import pickle
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from grid_models.formats.epanet_packaged import packaged_file, packaged_names
from grid_models.formats.epanet_text import section_name
from grid_models.water.testing import inp_texts
from tests.proof import proof

ROOT = Path(__file__).parents[2]
ABSURD_M = 1e6
PATIENCE_S = 60.0
FIRST_PATIENCE_S = 900.0  # a child loads the kernels for its first answer, and compiles them where they are not there yet

# Small files with controls, rules, tanks, pumps and valves, as people write them; generated ones have every device.
SEEDS = ("Net1", "Net3", "Anytown", "Richmond_skeleton", "BWSN_Network_1")

WARM = """
[JUNCTIONS]
a 0 1
[RESERVOIRS]
r 50
[PIPES]
p r a 100 200 100
[END]
"""

TOKENS = (
    "nan", "-inf", "1e400", "1e308", "-1e308", "1e-320", "-1", "0", "0.0.1", "1,5", "", ";", "\0", '"', "\ufeff", "\u2028",
    "0x10", "1_000", "1d5", "99999999999999999999", "-0", "%s%n", "[PIPES]", "[END]", "x" * 300, "x" * 1100, "CLOSED", "OPEN",
    "CV", "PRV", "GPV", "POWER", "HEAD", "1:00:00:00", "25 PM", "IF", "AND", "*",
)  # fmt: skip


@st.composite
def mutated(draw: DrawFn, lines: tuple[str, ...]) -> str:
    """The lines with a few of them spoiled."""
    text = list(lines)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text) - 1))
        kind = draw(
            st.sampled_from(("token", "borrow", "delete", "double", "swap", "cut", "drop", "noise", "empty", "shorten"))
        )
        tokens = text[at].split()
        if kind == "token" and tokens:
            tokens[draw(st.integers(0, len(tokens) - 1))] = draw(st.sampled_from(TOKENS))
            text[at] = " ".join(tokens)
        elif kind == "borrow" and tokens:
            others = text[draw(st.integers(0, len(text) - 1))].split()
            if others:
                tokens[draw(st.integers(0, len(tokens) - 1))] = draw(st.sampled_from(others))
                text[at] = " ".join(tokens)
        elif kind == "drop" and tokens:
            del tokens[draw(st.integers(0, len(tokens) - 1))]
            text[at] = " ".join(tokens)
        elif kind == "delete":
            del text[at]
        elif kind == "double":
            text.insert(draw(st.integers(0, len(text))), text[at])
        elif kind == "swap":
            other = draw(st.integers(0, len(text) - 1))
            text[at], text[other] = text[other], text[at]
        elif kind == "cut":
            text = [*text[:at], text[at][: draw(st.integers(0, len(text[at])))]]
        elif kind == "shorten":
            text[at] = text[at][: draw(st.integers(0, len(text[at])))]
        elif kind == "empty":
            text = _without_section(text, at)
        elif kind == "noise":
            text.insert(at, draw(st.text(max_size=40)))
        text = text or [""]
    return "\n".join(text)


def _without_section(text: list[str], at: int) -> list[str]:
    """Without the data of the section in which a line stands."""
    begin = next((k for k in range(at, -1, -1) if section_name(text[k])), 0)
    end = next((k for k in range(at + 1, len(text)) if section_name(text[k])), len(text))
    return [*text[: begin + 1], *text[end:]]


class Reader:
    """The child process, started again where one has died."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def ask(self, raw: bytes) -> tuple[str, object]:
        if self.child is None:
            command = [sys.executable, "-m", "tests.faults.inp_reader"]
            self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
            assert self._answer(WARM.encode(), FIRST_PATIENCE_S)[0] == "answered"
        return self._answer(raw, PATIENCE_S)

    def _answer(self, raw: bytes, patience_s: float) -> tuple[str, object]:
        child = self.child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        pickle.dump(raw, child.stdin)
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], patience_s)
        if not ready:
            self.close()
            return "hung", patience_s
        try:
            kind, what = pickle.load(child.stdout)
        except EOFError:
            status = child.wait()
            self.child = None
            return "crashed", status
        return str(kind), what

    def close(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.child = None


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    asked = Reader()
    yield asked
    asked.close()


def texts() -> st.SearchStrategy[str]:
    """Mutations of any of the seeds."""
    files = [packaged_file("epyt", name).read_text(encoding="latin-1") for name in SEEDS if name in packaged_names("epyt")]
    whole = st.one_of(st.sampled_from(files), inp_texts()) if files else inp_texts()
    return whole.flatmap(lambda text: mutated(tuple(text.splitlines())))


def well_answered(reader: Reader, text: str) -> None:
    """What is asked of every file."""
    kind, what = reader.ask(text.encode("utf-8", errors="surrogatepass"))
    if kind == "refused":
        assert isinstance(what, list)
        assert what
        assert all(component.startswith("[") and line and message for component, line, message in what), what
        return
    assert kind == "answered", (kind, what)
    assert isinstance(what, tuple)
    status, culprits, head_m = what
    # A pipe of 2 mm that should carry litres a second asks for heads that a double does not hold beside a valve's loss.
    assert status != "NOT_CONVERGED" or head_m > ABSURD_M, (status, culprits, head_m)


patient = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(patient, max_examples=150)
@given(text=texts())
def test_a_spoiled_file_is_refused_by_line_or_solved(reader: Reader, text: str) -> None:
    well_answered(reader, text)


@pytest.mark.heavy
def test_many_spoiled_files(reader: Reader) -> None:
    claim = "refused by section and line, or solved, or the reason named; no crash, no hang"
    with proof("spoiled .inp files", claim, "files", "tests/faults/test_hostile_inp.py") as tally:

        @settings(patient, max_examples=100_000)
        @given(text=texts())
        def each(text: str) -> None:
            tally.count += 1
            well_answered(reader, text)

        each()
