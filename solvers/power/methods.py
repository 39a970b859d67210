"""Every method that solves a power network, by the name that the command line knows it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from grid_models.errors import InvalidInput, Issue
from grid_models.power.network import PowerNetwork
from grid_models.tables import Array
from solvers.plan import Reuse
from solvers.power.admittance import factor, prepare
from solvers.power.dc_flow import dc_load_flow
from solvers.power.fast_decoupled import Scheme, solve_decoupled
from solvers.power.load_flow import Method, load_flow
from solvers.power.newton import LoadFlow
from solvers.power.results import results
from solvers.power.short_circuit import short_circuit
from solvers.power.tap_control import with_tap_control
from solvers.solution import Solution

_STEPS: Mapping[str, Method | None] = {
    "newton": None,
    Scheme.XB.value: partial(solve_decoupled, scheme=Scheme.XB),
    Scheme.BX.value: partial(solve_decoupled, scheme=Scheme.BX),
}
METHODS = (*_STEPS, "dc", "short-circuit")


@dataclass(frozen=True)
class Choice:
    """A method and its options, as a user names them.

    Args:
        method: one of `METHODS`.
        enforce_q_limits: generators hold their voltage only within their reactive range.
        distributed_slack: machines share what is left over by `slack_weight`.
        tap_control: transformers move their taps as the table `tap_control` says.
        fault: of a short circuit: `3ph`, `2ph` or `1ph`.
        case: of a short circuit: `max` or `min`.
    """

    method: str = "newton"
    enforce_q_limits: bool = False
    distributed_slack: bool = False
    tap_control: bool = False
    fault: str = "3ph"
    case: str = "max"

    @property
    def switches(self) -> dict[str, bool]:
        """The options of a load flow."""
        return {name: getattr(self, name) for name in ("enforce_q_limits", "distributed_slack", "tap_control")}

    @property
    def provenance(self) -> tuple[str, dict[str, Any]]:
        """The method and its options as a dataset's attributes name them."""
        if self.method == "short-circuit":
            return f"iec-60909, pandapower {version('pandapower')}", {"fault": self.fault, "case": self.case}
        if self.method == "dc":
            return "dc", {}
        return "newton-raphson" if self.method == "newton" else self.method, {"tolerance_pu": 1e-8, **self.switches}


NEWTON = Choice()


def run(network: PowerNetwork, choice: Choice) -> tuple[dict[str, Array], Solution[Any]]:
    """Solve a network by the chosen method.

    Returns:
        "{element}_{column}" -> (n_element,), and status and cost with the method's own value.

    Raises:
        InvalidInput: no such method, or options that it has not.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> run(read_packaged("case9"), Choice("dc"))[1].status.name
    'SOLVED'
    """
    if choice.method not in METHODS:
        raise InvalidInput([Issue("method", "", (choice.method,), f"is unknown; there are {', '.join(METHODS)}")])
    if choice.method in _STEPS:
        solution, solved = _load_flow(network, choice)
        columns = results(solved, solution.value.model, solution.value.v)
        if choice.tap_control:
            columns |= {f"{e}_tap_pos": solved.tables[e]["tap_pos"] for e in ("trafo", "trafo3w") if e in solved.tables}
        return columns, solution
    wrong = [Issue("method", name, (choice.method,), "has no such option") for name, given in choice.switches.items() if given]
    if wrong:
        raise InvalidInput(wrong)
    if choice.method == "dc":
        linear = dc_load_flow(network)
        return results(network, linear.value.model, linear.value.v, linear.value.p_from), linear
    fault = short_circuit(network, choice.fault, choice.case)
    return dict(fault.value.columns), fault


def _load_flow(network: PowerNetwork, choice: Choice) -> tuple[Solution[LoadFlow], PowerNetwork]:
    """A load flow, and the network with its taps as they are then."""
    reuse = Reuse(prepare, factor)

    def once(moved: PowerNetwork, before: LoadFlow | None) -> Solution[LoadFlow]:
        return load_flow(
            moved,
            reuse=reuse,
            method=_STEPS[choice.method],
            enforce_q_limits=choice.enforce_q_limits,
            distributed_slack=choice.distributed_slack,
            start=None if before is None else before.v,
        )

    return with_tap_control(network, once) if choice.tap_control else (once(network, None), network)
