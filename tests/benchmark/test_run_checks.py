"""What a run would fail of is told when it is planned."""

import pytest

from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.run_checks import check_runs
from masklam_agents.benchmark.suite import SuiteError
from masklam_agents.common import external
from masklam_agents.methods import METHODS, OURS, Method
from tests.benchmark.tiny import TINY, tiny
from tests.test_cli import masklam

CORRELATED = {"distractors": "[none]", "vary": "{correlation: [0.5]}"}


class Model:
    def __init__(self, image_size, frame_stack, latent_dim, hidden=8): ...


@pytest.fixture
def others(monkeypatch):
    """A model and an algorithm of somebody else."""
    monkeypatch.setitem(external._LAMS, "others", f"{__name__}:Model")
    monkeypatch.setitem(METHODS, "others", Method("masklam_agents:ExternalLAM", "", {"lam": "others"}))
    monkeypatch.setitem(METHODS, "own", Method("tests.benchmark.tiny:Broken", ""))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distractors": "{late: {name: action, corelation: 0.9}}"}, "'corelation'. Did you mean 'correlation'?"),
        ({"distractors": "{late: {name: action, correlation: 1.9}}"}, "correlation is 1.9; give a number from 0 to 1"),
        ({"distractors": "{near: {name: camera, scale: 2}}"}, "camera: scale is 2; give a number from 0 to 1"),
        ({"distractors": "{far: {name: state, rank: 99}}"}, "state: rank is 99"),
        ({"vary": "{unseen: {far: {name: video, sped: 2}}}"}, "'sped'. Did you mean 'speed'?"),
        ({"evaluation": "{episodes: 2, distractor: {name: still, opacity: 2}}"}, "still: opacity is 2"),
        (CORRELATED, "correlation=0.5 is given, but no part of ['none'] takes it"),
        ({"image_size": "10"}, "image_size must be an integer in [16, 1024] pixels, got 10"),
        ({"image_size": "16\n  network: smal"}, "unknown network 'smal'. Did you mean 'small'?"),
        ({"tasks": "[HalfCheetah-v5]"}, "task 'HalfCheetah-v5' shows no masks: take 'MaskCheetah-v0', which has its"),
        ({"tasks": "[CartPole-v1]"}, "task 'CartPole-v1' shows no masks: `masklam envs` lists those that do"),
        ({"options": "{loss: fixd}"}, "unknown loss 'fixd'. Did you mean 'fixed'?"),
        ({"options": "{bottleneck: vq, bottleneck_options: {codez: 8}}"}, "'codez'. Did you mean 'codes'?"),
        ({"options": "{policy_kwargs: {view_shif: 2}}"}, "'view_shif'. Did you mean 'view_shift'?"),
        ({"method_options": "{others: {lam_kwargs: {hiden: 2}}}"}, "'hiden'. Did you mean 'hidden'?"),
    ],
)
def test_a_run_that_cannot_be_is_told(others, changes, message):
    runs = make_runs(tiny(**{"methods": "[lapo, others]", **changes}))
    with pytest.raises(SuiteError) as told:
        check_runs(runs)
    assert message in str(told.value)


def test_what_can_be_is_let_through(others):
    """Every method, also upper bounds, which see no correlation; and what nobody here can judge."""
    every = {"methods": f"[{', '.join(sorted(OURS))}]", "samples": "{segment: 8, pretrain: 8, clone: 8, decode: 8}"}
    check_runs(make_runs(tiny(**every, options="{policy_kwargs: {view_shift: 1}}")))
    check_runs(make_runs(tiny(methods="[lapo, others]", method_options="{others: {lam_kwargs: {hidden: 2}}}")))
    check_runs(make_runs(tiny(methods="[lapo-clean, lapo-flat]", vary="{correlation: [0.5]}")))
    check_runs(make_runs(tiny(methods="[own]", method_options="{own: {loss: anything}}")))


def test_the_command_tells_before_anything_runs(tmp_path):
    (tmp_path / "mine.yaml").write_text(TINY.replace("[none]", "{late: {name: action, corelation: 0.9}}"))
    for more in ((), ("--method", "lapo")):
        ended = masklam("benchmark", tmp_path / "mine.yaml", "--out", tmp_path / "out", *more)
        assert ended.exit_code == 2 and "Did you mean 'correlation'" in " ".join(ended.output.split())
    assert not (tmp_path / "out").exists()
