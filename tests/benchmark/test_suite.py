"""Suites: those of the package are sound, and a mistake in a file is told."""

import json

import pytest

from masklam_agents.benchmark.fairness import UnfairError, check_fair
from masklam_agents.benchmark.plan import Chosen, make_runs
from masklam_agents.benchmark.suite import SuiteError, load_suite, parse_suite, suite_names
from masklam_agents.benchmark.tune import choose, make_trials
from masklam_agents.benchmark.tuned import Tuned, load_tuned, write_tuned
from masklam_agents.methods import METHODS
from tests.benchmark.tiny import TINY, do, tiny


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_of_the_package_is_fair_and_survives_json(name):
    suite = load_suite(name)
    runs = make_runs(suite)
    assert suite.name == name
    assert check_fair(suite, runs)
    assert len({run.hash for run in runs}) == len(runs) > 0
    assert json.loads(json.dumps(runs[-1].config)) == runs[-1].config


def test_the_suites_are_those_that_were_asked_for():
    questions = [f"q{number}-" for number in range(1, 10)]
    assert {"quick", "cpu", "paper", "ablation"} <= set(suite_names())
    assert all(any(name.startswith(question) for name in suite_names()) for question in questions)
    assert load_suite("q2-label-budget").vary["labels"] == [2048, 4096, 8192, 16384, 32768, 64000, 128000]
    assert load_suite("q3-latent-dimension").vary["latent_dim"] == [16, 32, 64, 128, 256, 512, 1024]
    assert len(load_suite("ablation").methods) == 7


def test_the_papers_budgets():
    run = make_runs(load_suite("paper"), Chosen(methods=("masklam-paper",), seeds=1))[0]
    batch = run.config["options"]["batch_size"]
    assert [round(count / batch) for count in run.config["samples"].values()] == [35_156, 35_156, 25_000]
    options = METHODS["masklam-paper"].options
    assert {name: run.config["options"][name] for name in options if name != "stage_shares"} == {
        name: value for name, value in options.items() if name != "stage_shares"
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sedes: 2", "unknown key 'sedes'. Did you mean 'seeds'?"),
        ("evaluation: {episods: 2}", "unknown key of evaluation 'episods'. Did you mean 'episodes'?"),
        ("methods: [lapoo]", "unknown method 'lapoo'. Did you mean 'lapo'?"),
        ("tasks: [MaskCheeta-v0]", "MaskCheeta"),
        ("distractors: [actoin]", "unknown distractor 'actoin'. Did you mean 'action'?"),
        ("vary: {lables: [1]}", "unknown variable of vary 'lables'. Did you mean 'labels'?"),
        ("seeds: 0", "seeds"),
        ("seeds: two", "seeds"),
        ("seeds: 2\nseeds: 3", "stands twice"),
        ("summary: [", "no YAML"),
    ],
)
def test_a_mistake_in_a_file_is_told(line, message):
    key = line.partition(":")[0]
    kept = [each for each in TINY.splitlines() if not each.startswith(f"{key}:")]
    with pytest.raises(SuiteError, match="tiny.yaml") as told:
        parse_suite("\n".join([*kept, line]), "tiny.yaml")
    assert message in str(told.value)


def test_a_number_that_yaml_reads_as_text_is_told():
    with pytest.raises(SuiteError, match="YAML reads 1e-3 as text, write 0.001"):
        tiny(learning_rate="{pretrain: 1e-3, clone: 0.002, decode: 0.001}")


def test_nothing_in_a_file_is_run():
    with pytest.raises(SuiteError, match="no YAML"):
        tiny(summary="!!python/object/apply:os.getcwd []")


def test_unknown_names():
    with pytest.raises(SuiteError, match="Did you mean 'quick'"):
        load_suite("quik")
    with pytest.raises(SuiteError, match=r"none\.yaml: cannot be read"):
        load_suite("none.yaml")
    with pytest.raises(SuiteError, match="unknown task of this suite"):
        make_runs(tiny(), Chosen(tasks=("MaskHopper-v0",)))
    with pytest.raises(ValueError, match="Did you mean 'lapo'"):
        make_runs(tiny(), Chosen(methods=("lapoo",)))
    with pytest.raises(SuiteError, match="no run of this suite"):
        make_runs(tiny(), Chosen(runs=("zzz",)))


def test_what_differs_between_methods_needs_a_reason():
    own = "{lapo: {batch_size: 16}}"
    with pytest.raises(UnfairError, match="batch_size is not the same for all methods"):
        check_fair(tiny(method_options=own), make_runs(tiny(method_options=own)))
    told = tiny(method_options=own, may_differ="{batch_size: because}")
    assert "batch_size differs: because" in check_fair(told, make_runs(told))


def test_runs_share_what_they_do_not_depend_on():
    by_labels = make_runs(tiny(vary="{labels: [8, 16]}", methods="[lapo, laom-labels, idm]"))
    assert len({run.agent_key for run in by_labels}) == 6
    assert [run.stages_key for run in by_labels if run.config["method"] != "lapo"] == [None] * 4
    assert len({run.stages_key for run in by_labels if run.config["method"] == "lapo"}) == 1
    unseen = make_runs(tiny(vary="{unseen: [none, video]}", methods="[lapo]"))
    assert len({run.agent_key for run in unseen}) == 1 and len({run.hash for run in unseen}) == 2
    clean = make_runs(tiny(distractors="[none, video]", methods="[lapo-clean]"))
    assert len({run.agent_key for run in clean}) == 1


def test_a_choice_is_made_on_other_seeds_and_training_backgrounds_by_one_grid(tmp_path):
    grid = "{grid: {learning_rate: [0.001, 0.002], latent_dim: [4, 8]}, tasks: [MaskCheetah-v0], distractors: [none]}"
    suite = tiny(tuning=grid, methods="[lapo, bc-labels]", tuned="tuned.yaml")
    trials = make_trials(suite)
    runs = trials.all_runs()
    assert len(runs) == 4 + 2  # behaviour cloning has no latent
    evaluation = {(run.config["evaluation"]["split"], run.config["evaluation"]["seed"]) for run in runs}
    assert evaluation == {("train", 2_000_000)} and {run.config["seed"] for run in runs} == {1_000}
    assert do(runs, tmp_path / "trials").done == 6
    tuned = choose(suite, trials, tmp_path / "trials")
    scores = {tuple(t.setting.items()): t.score for t in tuned.scores if t.method == "lapo"}
    assert tuple(tuned.chosen["lapo"].items()) == min(scores, key=scores.get)
    assert tuned.trials == 4 and set(tuned.chosen["bc-labels"]) == {"learning_rate"}
    write_tuned(tmp_path / "tuned.yaml", tuned)
    again = load_tuned(suite, beside=tmp_path / "suite.yaml")
    assert again == tuned
    chosen = {run.config["method"]: run.config for run in make_runs(suite, tuned=again)}
    assert chosen["lapo"]["options"]["latent_dim"] == tuned.chosen["lapo"]["latent_dim"]
    assert chosen["bc-labels"]["options"]["policy_learning_rate"] == tuned.chosen["bc-labels"]["learning_rate"]
    assert chosen["lapo"]["tuning"]["trials"] == 4
    assert check_fair(suite, make_runs(suite, tuned=again))


def test_a_choice_for_another_version_is_refused(tmp_path):
    write_tuned(tmp_path / "tuned.yaml", Tuned("tiny", "0", {}, 1, "", {}))
    suite = tiny(tuned="tuned.yaml")
    with pytest.raises(SuiteError, match="was made for suite tiny 0, this is tiny 1"):
        load_tuned(suite, beside=tmp_path / "suite.yaml")
    assert load_tuned(suite, beside=tmp_path / "elsewhere" / "suite.yaml") is None
