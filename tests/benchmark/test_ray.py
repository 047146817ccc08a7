"""Runs on a real Ray cluster of two nodes on this machine; needs the extra `ray` (`make test-ray`)."""

import os
import signal
import time

import pytest

from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.result_files import read_results
from masklam_agents.benchmark.runner import run_all
from masklam_agents.common.saving import read_header
from tests.benchmark.tiny import do, options, tiny

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils")
from masklam_agents.benchmark.ray_launcher import RayLauncher  # noqa: E402 - after Ray is known to be there

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def launch(cluster):
    launchers = []

    def make(given):
        launchers.append(RayLauncher(given, cluster[0].address))
        return launchers[-1]

    yield make
    ray.shutdown()


def test_both_nodes_work_and_scores_are_those_of_one_process(tmp_path, launch):
    suite = tiny(methods="[lapo, masklam-fixed, bc-labels]")
    do(suite, tmp_path / "here")
    given = options(tmp_path / "ray")
    launcher = launch(given)
    assert launcher.free() == 2
    assert run_all(make_runs(suite), given, launcher).done == 3
    here, there = (read_results([tmp_path / name]) for name in ("here", "ray"))
    assert {r.method: r.metrics for r in here} == {r.method: r.metrics for r in there}


def in_stage_2(out, updates=900):
    """Agents in the middle of stage 2, and who trains them."""
    for path in out.glob("shared/agents/*/agent.safetensors"):
        if 0 < read_header(path)["progress"]["clone"] < updates:
            return int(path.parent.with_suffix(".lock").read_text().split()[1])
    return None


@pytest.mark.parametrize("lost", ["worker", "node"])
def test_a_worker_or_node_that_is_lost_in_the_middle_loses_nothing(tmp_path, launch, cluster, lost):
    suite = tiny(methods="[lapo, masklam-fixed]", samples="{pretrain: 40, clone: 30_000, decode: 40}")
    do(suite, tmp_path / "here")
    given = options(tmp_path / "ray", save_every=0.1)
    launcher, gone, again = launch(given), [], []
    real = launcher.wait

    def wait(timeout):
        until = time.monotonic() + 600
        while not gone and time.monotonic() < until:
            if (pid := in_stage_2(tmp_path / "ray")) is None:
                time.sleep(0.05)
            elif lost == "worker":
                os.kill(pid, signal.SIGKILL)
                gone.append(pid)
            else:
                cluster[0].remove_node(cluster[1], allow_graceful=False)
                gone.append("node")
        ended = real(timeout)
        again.extend(outcome for _, outcome in ended if outcome.status == "died")
        return ended

    launcher.wait = wait
    summary = run_all(make_runs(suite), given, launcher)
    assert (summary.done, summary.failed, summary.left) == (2, {}, 0)
    assert gone and again
    here, there = (read_results([tmp_path / name]) for name in ("here", "ray"))
    assert {r.method: r.metrics for r in here} == {r.method: r.metrics for r in there}
