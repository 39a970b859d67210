"""A client written from the contract alone, in a process without our code, against the real service."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge.test_kill import ROOT, serve, settings


def test_a_client_without_our_code_streams_in_and_watches(tmp_path: Path) -> None:
    process, address = serve(settings(tmp_path))
    client = tmp_path / "alone" / "foreign_client.py"
    client.parent.mkdir()
    shutil.copy(ROOT / "tests" / "edge" / "foreign_client.py", client)
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(client), str(ROOT / "proto" / "baseline.binpb"), address],
            capture_output=True, text=True, cwd=client.parent, timeout=120,
        )  # fmt: skip
    finally:
        process.kill()
        process.wait()
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["ours"] == []
    assert told["durable"] == 40
    kinds = [k for k in told["kinds"] if k != "heartbeat"]
    assert kinds[:3] == ["sync", "topology", "frame"]  # there was no state yet
    assert set(kinds[3:]) == {"frame"}
    assert told["revisions"] == sorted(told["revisions"])
    assert len(told["revisions"]) >= 2
    assert told["last"]["valid"] == 1_773_014_400 + 39 * 60
    # Every meter read 1.039 pu at the last instant; nominal loads and generators of 1 pu pull the estimate below it.
    assert sum(told["last"]["bus_vm_pu"]) / 9 == pytest.approx(1.039, abs=0.03)
