"""Where a report from the field lies: its pipes, from ids, from a node, or from a point with a radius on the network's map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import WaterNetwork
from twin.errors import BadRequest, NotFound, PreconditionFailed
from twin.field_report import FieldReport, Point, ReportKind

MOST_PIPES = 200
_NEEDED = (ReportKind.CITIZEN, ReportKind.LOGGER, ReportKind.CONFIRMED)


def placed(draft: FieldReport, model: Any) -> FieldReport:
    """A report with its pipes; a word on an alarm may have none.

    Args:
        draft: as it was entered.
        model: of its network.

    Raises:
        BadRequest: no place, or several; too many pipes, or none within the radius; no network with pipes.
        NotFound: no such pipe or node; all of them at once.
        PreconditionFailed: the network has no coordinates.
    """
    if not isinstance(model, WaterNetwork):
        raise BadRequest.of("report.network", f"{draft.network} has no pipes")
    given = [bool(draft.pipes), bool(draft.node), draft.point is not None]
    if sum(given) > 1:
        raise BadRequest.of("report.pipes", "excludes node and point, and these each other")
    if not any(given) and draft.kind in _NEEDED:
        raise BadRequest.of("report.pipes", f"{draft.kind.name} needs a place: pipes, a node or a point")
    ids = model.link_ids[model.pipe_link].astype(str)
    pipes = draft.pipes
    if draft.node:
        nodes = np.flatnonzero(model.node_ids.astype(str) == draft.node)
        if not len(nodes):
            raise NotFound(f"{draft.network} has no node {draft.node!r}")
        ends = np.array([model.link_from, model.link_to])[:, model.pipe_link]
        pipes = tuple(ids[(ends == nodes[0]).any(axis=0)].tolist())
        if not pipes:
            raise BadRequest.of("report.node", f"no pipe ends at node {draft.node}")
    elif draft.point is not None:
        pipes = _within(model, ids, draft.point)
    unknown = sorted(set(pipes) - set(ids.tolist()))
    if unknown:
        raise NotFound(f"{draft.network} has no pipe {', '.join(map(repr, unknown))}")
    if len(pipes) > MOST_PIPES:
        raise BadRequest.of("report.pipes", f"are {len(pipes)}; a report names at most {MOST_PIPES}")
    return replace(draft, pipes=pipes)


def _within(model: WaterNetwork, ids: NDArray[np.str_], point: Point) -> tuple[str, ...]:
    """Pipes of which some part lies within the radius, each drawn straight from node to node."""
    place = model.node_place
    start, end = place[model.link_from[model.pipe_link]], place[model.link_to[model.pipe_link]]
    if not np.isfinite(start + end).all(axis=1).any():
        raise PreconditionFailed("the network has no coordinates; name pipes or a node")
    along, to = end - start, np.array([point.x, point.y]) - start
    share = np.clip((to * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-300), 0.0, 1.0)
    distance = np.nan_to_num(np.hypot(*(to - share[:, None] * along).T), nan=np.inf)
    near = int(distance.argmin())
    if distance[near] > point.radius:
        text = f"no pipe lies within {point.radius:g} of ({point.x:g}, {point.y:g}); the nearest, pipe {ids[near]}, is"
        raise BadRequest.of("report.point", f"{text} {distance[near]:.4g} away")
    return tuple(ids[distance <= point.radius].tolist())
