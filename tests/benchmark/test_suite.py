"""Suites: those of the package are sound, and a mistake in a file is told."""

import dataclasses
import json
import re

import pytest

from masklam_agents.benchmark.fairness import UnfairError, check_fair, check_results
from masklam_agents.benchmark.plan import Chosen, make_runs
from masklam_agents.benchmark.results import Tuning
from masklam_agents.benchmark.run_checks import check_runs
from masklam_agents.benchmark.suite import VARIABLES, SuiteError, load_suite, parse_suite, suite_names
from masklam_agents.benchmark.suite_checks import VALUES
from masklam_agents.benchmark.tune import choose, make_trials
from masklam_agents.benchmark.tuned import Tuned, load_tuned, merged, write_tuned
from masklam_agents.methods import METHODS
from masklam_envs.distractors import presets
from masklam_envs.masks import sources
from tests.benchmark.helpers import make_result
from tests.benchmark.tiny import TINY, do, tiny

GRID = "{grid: {learning_rate: [0.001, 0.002], latent_dim: [4, 8]}, tasks: [MaskCheetah-v0], distractors: [none]}"


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_of_the_package_is_fair_and_survives_json(name):
    suite = load_suite(name)
    runs = make_runs(suite)
    assert suite.name == name
    assert check_fair(suite, runs)
    assert len({run.hash for run in runs}) == len(runs) > 0
    assert json.loads(json.dumps(runs[-1].config)) == runs[-1].config


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_of_the_package_runs_as_its_command_begins(name):
    """With what was chosen for it: a method that the file of choices lacks is found here."""
    suite = load_suite(name)
    runs = make_runs(suite, tuned=load_tuned(suite))
    check_runs(runs)
    assert check_fair(suite, runs)


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
        ("vary: {correlation: [1.5]}", "vary.correlation: correlation must be a number in [0, 1], got 1.5"),
        ("vary: {latent_dim: [0]}", "vary.latent_dim: must be a whole number from 1 on, got 0"),
        ("vary: {mask_source: [simulatr]}", "unknown mask source 'simulatr'. Did you mean 'simulator'?"),
        ("vary: {mask_fault: {thin: {name: erosoin}}}", "unknown mask fault 'erosoin'. Did you mean 'erosion'?"),
        ("vary: {mask_fault: [{name: erosion}]}", "write `name: setting` pairs"),
        ("vary: {unseen: [vidoe]}", "unknown distractor 'vidoe'. Did you mean 'video'?"),
        ("vary: {labels: [40, 100]}", "100 labels of data.steps 80 transitions: give more steps or fewer labels"),
        ("data: {steps: 80, policy: mixd}", "unknown policy 'mixd'. Did you mean 'mixed'?"),
        ("tasks: []", "tasks is empty: name at least one"),
        ("distractors: []", "distractors is empty: name at least one"),
        ("vary: {labels: []}", "vary.labels is empty: name at least one"),
        (f"tuning: {GRID.replace('[4, 8]', '[]')}", "tuning.grid.latent_dim is empty: name at least one"),
        (f"tuning: {GRID.replace('[none]', '[video]')}", "unknown name in tuning.distractors 'video'. Known: none"),
        (f"tuning: {GRID.replace('MaskCheetah', 'MaskCheeta')}", "MaskCheeta"),
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


def test_an_option_that_no_method_takes_is_a_mistake():
    suite = tiny(options="{futur_offset: 1}")
    with pytest.raises(SuiteError, match=r"option of training.options 'futur_offset'. Did you mean 'future_offset'"):
        make_runs(suite)
    assert make_runs(tiny(options="{head_dim: 32}", methods="[lapo, laom]"))  # LAOM's alone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": "{labels: 8}"}, "training.options.labels has a key of its own: give it as training.labels"),
        ({"options": "{decoder_learning_rate: 0.1}"}, "give it as training.learning_rate.decode"),
        ({"options": "{stage_shares: [1, 1, 1]}"}, "give it as training.samples"),
        (
            {"method_options": "{lapo: {labels: 8}}", "vary": "{labels: [8, 16]}"},
            "method_options.lapo.labels cannot be: the suite varies labels; leave it out",
        ),
        ({"method_options": "{lapo: {seed: 8}}"}, "method_options.lapo.seed cannot be: that is seeds; leave it out"),
    ],
)
def test_what_is_said_twice_is_refused(changes, message):
    with pytest.raises(SuiteError, match=re.escape(message)):
        make_runs(tiny(**changes))


def test_the_rules_that_are_told_are_those_of_the_runs():
    varied = tiny(vary="{labels: [8, 16]}", methods="[lapo, bc-labels]")
    told = check_fair(varied, make_runs(varied))
    assert "same label subset, drawn by the seed, of transitions: 8 to 16, the same for all methods of a place" in told
    own = tiny(
        method_options="{lapo: {learning_rate: 0.25}}", methods="[lapo, laom]", may_differ="{learning_rate: why}"
    )
    told = check_fair(own, make_runs(own))
    assert not any(rule.startswith("same learning rate of pretrain") for rule in told)
    assert (
        any(rule.startswith("same learning rate of clone: ") for rule in told) and "learning_rate differs: why" in told
    )


@pytest.mark.parametrize(("samples", "stage"), [("{pretrain: 40, clone: 40}", "decode"), ("{decode: 40}", "pretrain")])
def test_a_stage_without_samples_is_told(samples, stage):
    with pytest.raises(SuiteError, match=f"method 'lapo' has the stage '{stage}', for which training.samples names no"):
        make_runs(tiny(samples=samples))


def test_what_may_vary_is_what_is_checked():
    assert VALUES.keys() == VARIABLES.keys()


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


def test_what_is_measured_is_held_out_from_training_and_from_the_choice():
    shown = tiny(evaluation="{episodes: 2, split: train}")
    with pytest.raises(UnfairError, match="evaluation.split is 'train': agents are compared under backgrounds that"):
        check_fair(shown, make_runs(shown))
    with pytest.raises(SuiteError, match=r"tuning.seed 3 is one of the results' seeds 0 .. 4"):
        tiny(tuning=GRID.replace("}, tasks", "}, seed: 3, tasks"), seeds="5")
    with pytest.raises(SuiteError, match="evaluation.seed 2000001 is among the choice's"):
        make_trials(tiny(tuning=GRID, evaluation="{episodes: 2, seed: 2_000_001}"))


def test_runs_share_what_they_do_not_depend_on():
    by_labels = make_runs(tiny(vary="{labels: [8, 16]}", methods="[lapo, laom-labels, idm]"))
    assert len({run.agent_key for run in by_labels}) == 6
    assert [run.stages_key for run in by_labels if run.config["method"] != "lapo"] == [None] * 4
    assert len({run.stages_key for run in by_labels if run.config["method"] == "lapo"}) == 1
    unseen = make_runs(tiny(vary="{unseen: [none, video]}", methods="[lapo]"))
    assert len({run.agent_key for run in unseen}) == 1 and len({run.hash for run in unseen}) == 2
    for method, scene in (("lapo-clean", "none"), ("lapo-flat", "flat")):
        runs = make_runs(tiny(distractors="[none, video]", methods=f"[{method}]"))
        assert len({run.agent_key for run in runs}) == 1 and len({run.hash for run in runs}) == 2
        assert {run.config["view"]["distractor"] for run in runs} == {scene}


def test_methods_that_read_no_masks_are_trained_once_for_all_masks():
    faults = "{mask_fault: {exact: null, thin: {name: erosion, radius: 2}, hidden: {name: occlusion, fraction: 0.5}}}"
    for variable, agents in ((faults, 2), ("{mask_source: {simulator: simulator, flow: motion}}", 1)):
        runs = make_runs(tiny(vary=variable, methods="[lapo, masklam-fixed]"))
        keys = {
            name: [run.agent_key for run in runs if run.config["method"] == name] for name in ("lapo", "masklam-fixed")
        }
        assert len(set(keys["lapo"])) == agents  # what is hidden is hidden in the pixels too
        assert len(set(keys["masklam-fixed"])) == len(keys["masklam-fixed"])
        assert len({run.hash for run in runs}) == len(runs)
    with_masks = make_runs(tiny(vary=faults, methods="[lapo]", options="{mask_channel: true}"))
    assert len({run.agent_key for run in with_masks}) == 3


def test_methods_that_differ_in_whose_masks_they_learn_from_share_no_agent():
    loss, foreground = make_runs(tiny(methods="[masklam-loss, masklam-foreground]", tasks="[MaskReacher-v0]"))
    assert loss.config["options"] == foreground.config["options"] and loss.agent_key != foreground.agent_key


def test_plugins_are_of_the_runs_that_need_them(monkeypatch):
    monkeypatch.setitem(METHODS, "others", METHODS["lapo"])
    monkeypatch.setitem(presets._PARTS, "others", "others:Part")
    monkeypatch.setitem(sources._KNOWN, "others", "others:Source")
    place = {"distractors": "[none, others]", "vary": "{mask_source: [simulator, others]}"}
    runs = make_runs(tiny(methods="[lapo, masklam-fixed, others]", **place), plugins=["others"])
    needed = {
        (run.config["method"], run.config["distractor"], run.config["variables"]["mask_source"])
        for run in runs
        if run.config["plugins"]
    }
    names = [
        (m, d, s)
        for m in ("lapo", "masklam-fixed", "others")
        for d in ("none", "others")
        for s in ("simulator", "others")
    ]
    ours = {("lapo", "none", "simulator"), ("lapo", "none", "others"), ("masklam-fixed", "none", "simulator")}
    assert needed == set(names) - ours
    plain = make_runs(tiny(methods="[lapo]", vary="{mask_source: [simulator]}"))
    assert plain[0].hash in {run.hash for run in runs}


def test_a_choice_is_made_on_other_seeds_and_training_backgrounds_by_one_grid(tmp_path):
    suite = tiny(tuning=GRID, methods="[lapo, bc-labels]", tuned="tuned.yaml")
    trials = make_trials(suite)
    runs = trials.all_runs()
    assert len(runs) == 4 + 2  # behaviour cloning has no latent
    evaluation = {(run.config["evaluation"]["split"], run.config["evaluation"]["seed"]) for run in runs}
    assert evaluation == {("train", 2_000_000)} and {run.config["seed"] for run in runs} == {1_000}
    # The probe of the latents is of the first stage alone; a policy without latents is chosen by its returns.
    spent = {run.config["method"]: (run.config["samples"], run.config["evaluation"]["episodes"]) for run in runs}
    assert spent == {"lapo": ({"pretrain": 40, "clone": 8, "decode": 8}, 1), "bc-labels": ({"clone": 40}, 2)}
    by_return = make_trials(tiny(tuning=GRID[:-1] + ", by: return}")).all_runs()
    assert all(run.config["samples"]["clone"] == 40 for run in by_return)
    assert do(runs, tmp_path / "trials").done == 6
    tuned = choose(suite, trials, tmp_path / "trials")
    scores = {tuple(t.setting.items()): t.score for t in tuned.scores if t.method == "lapo"}
    assert tuple(tuned.chosen["lapo"].items()) == min(scores, key=scores.get)
    assert tuned.trials == {"lapo": 4, "bc-labels": 2} and set(tuned.chosen["bc-labels"]) == {"learning_rate"}
    write_tuned(tmp_path / "tuned.yaml", tuned)
    again = load_tuned(suite, beside=tmp_path / "suite.yaml")
    assert again == tuned
    chosen = {run.config["method"]: run.config for run in make_runs(suite, tuned=again)}
    assert chosen["lapo"]["options"]["latent_dim"] == tuned.chosen["lapo"]["latent_dim"]
    assert chosen["bc-labels"]["options"]["policy_learning_rate"] == tuned.chosen["bc-labels"]["learning_rate"]
    assert chosen["lapo"]["tuning"]["trials"] == 4
    assert "trials of the grid: lapo 4, bc-labels 2" in check_fair(suite, make_runs(suite, tuned=again))


TUNED = Tuned(
    "tiny", "1", {"learning_rate": (0.001, 0.002)}, {"lapo": 2}, "by nmse", {"lapo": {"learning_rate": 0.002}}
)


def test_a_method_that_was_not_tuned_is_not_compared_with_one_that_was():
    suite = tiny()
    with pytest.raises(UnfairError) as told:
        check_fair(suite, make_runs(suite, tuned=TUNED), "masklam benchmark tiny.yaml --plugin mine")
    assert "were chosen from a grid for other methods and not for masklam-fixed: run" in str(told.value)
    assert "`masklam benchmark tiny.yaml --plugin mine --tune --method masklam-fixed` and give" in str(told.value)
    told = tiny(may_differ="{tuning: ours has its paper's, learning_rate: so}")
    assert "tuning differs: ours has its paper's" in check_fair(told, make_runs(told, tuned=TUNED))


def test_choices_for_further_methods_join_those_before(tmp_path):
    found = dataclasses.replace(TUNED, trials={"laom": 2}, chosen={"laom": {"learning_rate": 0.001}})
    both = merged(TUNED, found)
    assert both.chosen == {**TUNED.chosen, **found.chosen} and both.trials == {"lapo": 2, "laom": 2}
    assert merged(None, found) == found
    with pytest.raises(SuiteError, match="from another grid or by other runs: tune all methods anew"):
        merged(TUNED, dataclasses.replace(found, grid={}))
    write_tuned(tmp_path / "mine.yaml", both)
    assert load_tuned(tiny(), file=tmp_path / "mine.yaml") == both
    with pytest.raises(SuiteError, match="none.yaml: no such file"):
        load_tuned(tiny(), file=tmp_path / "none.yaml")
    write_tuned(tmp_path / "mine.yaml", dataclasses.replace(both, trials={}))
    with pytest.raises(SuiteError, match="trials lacks laom, lapo"):
        load_tuned(tiny(), file=tmp_path / "mine.yaml")


def test_results_are_checked_again():
    """Whatever a suite promises: what methods really had is compared."""
    results = [make_result(), make_result(method="laom"), make_result(method="bc-all")]
    assert check_results(tiny(), results) == []
    training = results[0].training
    for change, told in {
        "dataset": ("data", "other"),
        "network": ("network", "large"),
        "precision": ("precision", "bf16"),
        "label_subset": ("labelled subset", "other"),
        "labels": ("number of labels", 9),
        "updates": ("updates of clone", {"clone": 1}),
        "tuning": ("grid of hyperparameters", Tuning({}, 0, "")),
    }.items():
        name, value = told
        unlike = make_result(method="idm", training=dataclasses.replace(training, **{change: value}))
        [line] = check_results(tiny(), [*results, unlike])
        assert line.startswith(f"{name} differs in 1 of 1 places and seeds: ")
        assert check_results(tiny(may_differ=f"{{{name}: because}}"), [*results, unlike]) == []
    all_labels = make_result(method="bc-all", training=dataclasses.replace(training, labels=9, label_subset="all"))
    assert check_results(tiny(), [*results[:2], all_labels]) == []


def test_a_choice_for_another_version_is_refused(tmp_path):
    write_tuned(tmp_path / "tuned.yaml", Tuned("tiny", "0", {}, {}, "", {}))
    suite = tiny(tuned="tuned.yaml")
    with pytest.raises(SuiteError, match="was made for suite tiny 0, this is tiny 1"):
        load_tuned(suite, beside=tmp_path / "suite.yaml")
    assert load_tuned(suite, beside=tmp_path / "elsewhere" / "suite.yaml") is None


def test_what_is_named_twice_is_run_once():
    suite = tiny(methods="[lapo, masklam-fixed, lapo]", tasks="[MaskCheetah-v0, MaskCheetah-v0]")
    assert [run.config["method"] for run in make_runs(suite)] == ["lapo", "masklam-fixed"]
    assert len(make_runs(suite, Chosen(methods=("lapo", "lapo")))) == 1
