"""What can be registered - distractors, mask sources, methods - takes a text or a class, and says what is not there."""

import functools

import pytest

from masklam_agents import methods
from masklam_agents.methods import get_method, register_method
from masklam_envs.distractors import ActionReference, make_distractor, presets, register_distractor
from masklam_envs.distractors.still import Still
from masklam_envs.entry_points import load
from masklam_envs.masks import make_mask_source, register_mask_source, sources


class Mine(Still):
    """A part, which does as a mask source and as a method too: none of the tests goes further than making it."""

    def __init__(self, context=None):
        if context is not None:
            super().__init__(context)


def used(name):
    reference = ActionReference.uniform([-1.0], [1.0])
    return type(make_distractor(name, action_reference=reference, image_size=16).parts[0])


#: what registers, what then uses the name, how a name is told in errors, the registry
KINDS = {
    "distractor": (register_distractor, used, presets._PARTS),
    "mask source": (register_mask_source, lambda name: type(make_mask_source(name)), sources._KNOWN),
    "method": (
        functools.partial(register_method, summary="mine"),
        lambda name: get_method(name).load_class(),
        methods.METHODS,
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    """One kind, with nothing of the test left in its registry."""
    registry = KINDS[request.param][-1]
    before = dict(registry)
    yield (request.param, *KINDS[request.param][:2])
    registry.clear()
    registry.update(before)


@pytest.mark.parametrize("given", [Mine, f"{__name__}:Mine"])
def test_a_class_is_its_text_and_may_come_twice(kind, given):
    _, register, use = kind
    register("mine", given)
    register("mine", Mine)
    register("mine", f"{__name__}:Mine")
    assert use("mine") is Mine


def test_another_class_under_a_taken_name_is_refused_with_what_is_there(kind):
    name, register, _ = kind
    register("mine", Mine)
    with pytest.raises(ValueError, match=rf"{name}.*'mine'.* already.*{__name__}:Mine.* another name"):
        register("mine", f"{__name__}:Other")


@pytest.mark.parametrize("given", ["no_class", "a:", ":b", "a:b:c", 3, None, lambda: 0])
def test_what_is_no_entry_point_says_what_is_wanted_and_why(kind, given):
    name, register, _ = kind
    with pytest.raises(ValueError, match=f"of {name} 'mine' must be 'module:Class'.*other processes"):
        register("mine", given)
    with pytest.raises(ValueError, match=f"the name of a {name} must be a text that is not empty, got ''"):
        register("", Mine)


def test_a_class_that_no_other_process_finds_is_refused(kind):
    class Local(Mine):
        pass

    name, register, _ = kind
    with pytest.raises(ValueError, match=rf"{name} 'mine': .*Local.* at the top of a module"):
        register("mine", Local)


def test_what_is_not_there_is_named_with_the_cure(kind):
    name, register, use = kind
    register("gone", "no_such_package.part:Gone")
    with pytest.raises(ModuleNotFoundError, match=f"{name} 'gone' is .*no module 'no_such_package'.*PYTHONPATH"):
        use("gone")
    register("misspelt", f"{__name__}:Mien")
    with pytest.raises(ValueError, match=f"{name} 'misspelt' is .*'Mien'. Did you mean 'Mine'.*Correct the text"):
        use("misspelt")


def test_what_a_module_lacks_itself_is_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "lacks_something.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="^No module named 'no_such_package'$"):
        load("distractor 'mine'", "lacks_something:Mine")
