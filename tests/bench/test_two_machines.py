"""The pipeline on two machines that share nothing but a network: `bench/two_machines.py`, and what the documents say to type."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from paths import ROOT
from pipeline_workspace import STAGES, metrics
from processes import PATIENCE, attempt, started
from tracked_repository import runs_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_commands")]

IN_A_NEW_NETWORK = ("unshare", "--user", "--map-root-user", "--net")


@pytest.fixture
def folder(tmp_path):
    """For the machines; skipped where nobody but root can make networks, unless REQUIRE_NAMESPACES is set."""
    programs = [name for name in ("unshare", "nsenter", "ip") if not shutil.which(name)]
    refused = f"{programs} not installed" if programs else attempt(*IN_A_NEW_NETWORK, "ip", "link").stderr
    if refused and os.environ.get("REQUIRE_NAMESPACES"):
        pytest.fail(f"no network namespaces ({refused}), and REQUIRE_NAMESPACES is set")
    if refused:
        pytest.skip(f"no network namespaces: {refused}")
    return tmp_path / "machines"


def typed(text: str) -> list[str]:
    """The lines of a transcript or a document that are commands on one of the machines."""
    return re.findall(r"^(?:one|two)\$ .*", text, re.MULTILINE)


def test_two_machines_run_the_pipeline_together_and_the_second_has_nothing_left_to_do(folder):
    program = [*IN_A_NEW_NETWORK, sys.executable, ROOT / "bench" / "two_machines.py", folder]
    with started(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        try:
            printed, _ = running.communicate(timeout=2 * PATIENCE)
        finally:
            running.terminate()  # so that it ends its servers
            running.wait()
    assert running.returncode == 0, printed
    one, two = folder / "one", folder / "two"

    assert re.search(r"tasks done by each of Dask's workers: [1-9]\d*, [1-9]", printed)
    losses = pd.read_csv(one / "metrics" / "unet_history.csv")["loss"].tolist()
    told = [float(loss) for loss in re.findall(r"^    epoch \d+: (.*)", printed, re.MULTILINE)]
    assert told == pytest.approx(losses), "the other worker has taken part in each epoch"
    _, _, last = printed.partition("two$ dvc repro\n")
    assert "Running stage" not in last
    assert "Data and pipelines are up to date." in last
    assert metrics(two) == metrics(one)
    assert (two / "reports" / "index.html").is_file()

    nested = [stage for _, stages in runs_of(folder) for stage in stages.items()]
    assert sorted(name for name, _ in nested) == sorted(STAGES), "the chief alone reports"
    assert all(stage.info.status == "FINISHED" for _, stage in nested)
    assert set(typed((ROOT / "docs" / "machines.md").read_text())) <= set(typed(printed))


def test_the_network_of_the_computer_is_never_changed(folder):
    refused = attempt(sys.executable, ROOT / "bench" / "two_machines.py", folder)
    assert refused.returncode == 1
    assert "error: this would change the network that is in use" in refused.stderr
    assert not folder.exists()
