"""What ties the networks of one city: a pump is a load at a bus, and stands still when the bus is dead."""

from __future__ import annotations

from dataclasses import dataclass

WATER_WEIGHT_N_PER_M3 = 9806.65


@dataclass(frozen=True, slots=True)
class PumpSupply:
    """One pump and the bus that feeds its motor.

    Args:
        water: name of the water network.
        pump: id of the pump.
        power: name of the power network.
        bus: pandapower's index of the bus.
        efficiency: of motor and drive together, shaft power over electrical power [1].
    """

    water: str
    pump: str
    power: str
    bus: int
    efficiency: float = 0.9


def electrical_mw(flow_m3_per_s: float, lift_m: float, pump_efficiency: float, motor_efficiency: float) -> float:
    """Electrical power that a pump draws.

    Args:
        flow_m3_per_s: its flow.
        lift_m: head at its outlet less head at its inlet.
        pump_efficiency: hydraulic power over shaft power [1].
        motor_efficiency: shaft power over electrical power [1].

    >>> round(electrical_mw(0.0125, 65.0, 0.75, 0.9), 4)
    0.0118
    """
    return WATER_WEIGHT_N_PER_M3 * flow_m3_per_s * lift_m / (pump_efficiency * motor_efficiency) / 1e6
