"""Every method by its name: a class and the options that make it what its paper, or the row of a table, calls so.

>>> from masklam_agents.methods import METHODS, make_agent
>>> agent = make_agent("masklam-1step", env="MaskCheetah-v0", latent_dim=16)
>>> type(agent).__name__, agent.config["future_offset"], agent.config["mask_channel"]
('MaskLAM', 1, True)

Presets without ``paper`` in their name keep this package's sizes for CPUs, so that methods of one table differ in the
method alone; those with it also have the paper's network, batch size, learning rates and stages.  Any option can be
given anew.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from masklam_envs.entry_points import entry_point_for, load
from masklam_envs.errors import unknown_name

if TYPE_CHECKING:
    from masklam_agents.common.offline import OfflineAlgorithm
    from masklam_agents.common.training_data import Dataset, Source
    from masklam_envs.view import View


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of :data:`METHODS`.

    :param algorithm: ``"module:Class"``, imported when an agent is made
    :param summary: what it is, and which known flaws of the original it keeps or repairs; docs/methods.md lists them
    :param options: keyword arguments of the class
    :param scene: the distractor that its dataset is drawn with, whatever the others see, so that it is an upper bound:
        ``"none"``, the task's own scene, or ``"flat"``, the agent alone; empty: the dataset's own
    :param all_labels: it sees every true action, whatever others may: an upper bound
    :param mask_target: whose masks it is trained with: ``"foreground"``, or ``"parts"`` for masks that tell agent and
        objects apart (:class:`~masklam_envs.data.parts.PartFrames`); empty: the dataset's own
    """

    algorithm: str
    summary: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    scene: str = ""
    all_labels: bool = False
    mask_target: str = ""

    def load_class(self) -> type[OfflineAlgorithm]:
        """The class."""
        name = next((name for name, row in METHODS.items() if row is self), self.summary)
        return _imported(f"method {name!r}", self.algorithm)


LAPO, MASKLAM = "masklam_agents.lapo:LAPO", "masklam_agents.masklam:MaskLAM"
ROBUST = "masklam_agents.masklam:RobustMaskLAM"
LAOM, IDM, BC = "masklam_agents.laom:LAOM", "masklam_agents.idm:IDM", "masklam_agents.bc:BC"
RANDOM = "masklam_agents.random_latents:RandomLatents"

NO_MASKS = {"mask_channel": False, "loss": "plain"}
# Protocol, section 2: batch, peaks of AdamW, clipping, and updates of the stages for the Distracting Control Suite.
PAPER: dict[str, Any] = {
    "network": "paper",
    "batch_size": 512,
    "learning_rate": 6e-4,
    "policy_learning_rate": 4e-4,
    "decoder_learning_rate": 1e-3,
    "max_grad_norm": {"decode": 1.0},
    "whiten": None,
    "labels": 128_000,
    "stage_shares": (35_156.0, 35_156.0, 25_000.0),
}
# The same for Distracting Meta-World, frames of 128 pixels.
PAPER_METAWORLD: dict[str, Any] = {
    **PAPER,
    "batch_size": 128,
    "learning_rate": 3e-4,
    "policy_learning_rate": 2e-4,
    "stage_shares": (31_250.0, 31_250.0, 25_000.0),
}
MASKLAM_PAPER: dict[str, Any] = {"preset": "paper", "future_offset": 9}
# Original LAPO (Procgen), section 1.1 and 2, as its code configures it: VQ with moving averages, lines after a warm-up.
LAPO_VQ = {"chunks": 8, "codebooks": 2, "codes": 64, "decay": 0.999, "beta": 0.05, "restart": False}
LAPO_PAPER: dict[str, Any] = {
    "network": "lapo",
    "bottleneck": "vq",
    "bottleneck_options": LAPO_VQ,
    "frame_stack": 2,
    "idm_input": "frames",
    "learning_rate": 3e-4,
    "policy_learning_rate": 2e-4,
    "schedules": {
        "pretrain": {"shape": "linear", "warm_up": 50 / 50_000, "first": 0.1, "last": 0.01},
        "clone": {"shape": "linear", "warm_up": 1_000 / 60_000, "first": 0.01},
        "decode": {"shape": "constant"},
    },
    "max_grad_norm": {"pretrain": 2.0},
    "decoder_hidden": (128, 128),
    "whiten": None,
    "labels": 131_072,
    "stage_shares": (50_000.0, 60_000.0, 3_072.0),
}
# LAOM, sections 1.3, 1.4 and 2: an epoch is 5,000 episodes of 1,000 steps in batches of 512.
LAOM_EPOCH = 5_000_000 / 512
LINE = {"shape": "linear"}
LAOM_TRAINING: dict[str, Any] = {
    "batch_size": 512,
    "policy_learning_rate": 1e-4,
    "weight_decay": 0.0,
    "labels": 128_000,
}
LAOM_PAPER: dict[str, Any] = {
    **LAOM_TRAINING,
    "network": "paper",
    "latent_dim": 8192,
    "head_dim": 1024,
    "learning_rate": 1e-4,
    "decoder_learning_rate": 3e-4,
    "schedules": {"pretrain": {**LINE, "warm_up": 0.3}, "clone": LINE, "decode": LINE},
    "whiten": None,
    "stage_shares": (10 * LAOM_EPOCH, 10 * LAOM_EPOCH, 2_500.0),
}
BC_PAPER: dict[str, Any] = {**LAOM_TRAINING, "network": "laom", "weight_decay": 0.01, "schedules": {"clone": LINE}}

METHODS: dict[str, Method] = {
    "lapo": Method(LAPO, "one-step LAPO with a continuous latent: the LAPO baseline of MaskLAM's code"),
    "lapo-multistep": Method(LAPO, "LAPO with k drawn from 1 .. 10", {"future_offset": 10}),
    "lapo-vq": Method(
        LAPO,
        "LAPO with vector quantisation; repairs codebook collapse (codes begin on data, dead ones move)",
        {"bottleneck": "vq"},
    ),
    "lapo-fsq": Method(LAPO, "LAPO with finite scalar quantisation, 8 x 5 x 5 x 5 levels", {"bottleneck": "fsq"}),
    "lapo-paper": Method(
        LAPO,
        "the original: U-Net, quantised latent, its rates and stages; keeps random codes that can collapse; repairs "
        "windows over episodes' ends and a policy that sees one frame alone",
        LAPO_PAPER,
    ),
    "lapo-masklam-paper": Method(
        LAPO,
        "the LAPO baseline of MaskLAM's paper in its sizes; repairs windows over episodes' ends",
        {**PAPER, "idm_input": "frames"},
    ),
    "lapo-clean": Method(LAPO, "LAPO on the same trajectories without distractor: an upper bound", scene="none"),
    "lapo-flat": Method(
        LAPO,
        "LAPO on the same trajectories before one colour, without the task's ground: an upper bound",
        scene="flat",
    ),
    "masklam-fixed": Method(MASKLAM, "loss averaged within each sample, k from 1 .. 10; repairs flaws m, n and b"),
    "masklam-paper": Method(
        MASKLAM,
        "the published loss and sizes; keeps one normaliser for the batch, summed channels, k from 1 .. 9; "
        "repairs the NaN of batches without agent and windows over episodes' ends",
        {**PAPER, **MASKLAM_PAPER},
    ),
    "masklam-paper-metaworld": Method(
        MASKLAM,
        "the same with the rates, batches and stages published for Distracting Meta-World at 128 pixels",
        {**PAPER_METAWORLD, **MASKLAM_PAPER},
    ),
    "masklam-loss": Method(MASKLAM, "ablation: mask in the loss, not in the input", {"mask_channel": False}),
    "masklam-channel": Method(MASKLAM, "ablation: mask in the input, plain loss", {"loss": "plain"}),
    "masklam-input": Method(
        MASKLAM, "ablation: background painted grey, in the input and in the target", {**NO_MASKS, "mask_input": True}
    ),
    "masklam-1step": Method(MASKLAM, "ablation: k = 1", {"future_offset": 1}),
    "masklam-soft": Method(MASKLAM, "the loss's mask has a fringe of two pixels that fades", {"mask_softness": 2}),
    "masklam-robust": Method(
        ROBUST, "ours: a segmenter learns the masks first, so that mistakes which change from frame to frame are gone"
    ),
    "masklam-foreground": Method(
        MASKLAM,
        "for tasks with objects: the loss's mask shows agent and objects; no mask channel, which hurt on Meta-World",
        {"mask_channel": False},
        mask_target="foreground",
    ),
    "masklam-dual": Method(
        MASKLAM,
        "for tasks with objects: losses of agent and objects, each a mean over its own pixels, added; no mask channel",
        {"mask_channel": False, "loss": "dual"},
        mask_target="parts",
    ),
    "laom": Method(LAOM, "prediction of features, augmentations, multi-step; heads and latent of CPU size"),
    # The paper's 0.001 is for its encoder; with features of the small one it hardly counts: docs/methods.md.
    "laom-labels": Method(LAOM, "LAOM with supervision by the labels", {"label_weight": 0.1}),
    "laom-paper": Method(
        LAOM, "LAOM in its paper's networks, rates and stages; keeps latents of 8192 numbers", LAOM_PAPER
    ),
    "laom-labels-paper": Method(
        LAOM,
        "LAOM with supervision in its paper's sizes; repairs labelled windows that run over an end",
        {**LAOM_PAPER, "label_weight": 0.001, "label_batch": 128},
    ),
    "idm": Method(IDM, "inverse model from labels alone, its guesses on all video cloned"),
    "idm-paper": Method(
        IDM,
        "the same in LAOM's networks, rates and stages",
        {
            **LAOM_TRAINING,
            "network": "paper",
            "head_dim": 1024,
            "encoder_scale": 12,
            "learning_rate": 1e-4,
            "schedules": {"pretrain": LINE, "clone": LINE},
            "stage_shares": (10_000.0, 10 * LAOM_EPOCH),
        },
    ),
    "bc-labels": Method(BC, "behaviour cloning of the labelled transitions alone", {"labels": 4_096}),
    "bc-all": Method(BC, "behaviour cloning of every true action: the normaliser of LAOM's paper", all_labels=True),
    "bc-labels-paper": Method(BC, "cloning of the labelled transitions in LAOM's network and rates", BC_PAPER),
    "bc-all-paper": Method(
        BC,
        "the normaliser of LAOM's paper in its network and rates",
        {name: value for name, value in BC_PAPER.items() if name != "labels"},
        all_labels=True,
    ),
    "bc-masklam-paper": Method(
        BC,
        "cloning of every true action as MaskLAM's code configures it",
        {
            "network": "lapo",  # IMPALA x 4 with a hidden layer of 256
            "batch_size": 2_048,
            "policy_learning_rate": 8e-4,
            "max_grad_norm": {"clone": 0.5},
            "schedules": {"clone": {**LINE, "last": 0.01}},
        },
        all_labels=True,
    ),
    "random-latents": Method(RANDOM, "an inverse model that is never trained: a lower bound"),
}

#: names that this package gives; others are a plugin's
OURS = frozenset(METHODS)


def get_method(name: str) -> Method:
    """The method of that name.

    :raises ValueError: when there is none
    """
    if name not in METHODS:
        raise ValueError(unknown_name("method", name, METHODS))
    return METHODS[name]


def register_method(name: str, algorithm: str | type[OfflineAlgorithm], summary: str, **options: Any) -> None:
    """Give a method a name; the same row once more changes nothing.

    :param name: new
    :param algorithm: ``"module:Class"`` of a subclass of ``OfflineAlgorithm``, or one at the top of a module
    :param summary: one sentence
    :param options: keyword arguments of the class
    :raises ValueError: when the name is taken or ``algorithm`` is no ``"module:Class"``
    """
    row = Method(entry_point_for("method", name, algorithm), summary, options)
    if METHODS.setdefault(name, row) != row:
        raise ValueError(
            f"method {name!r} exists already, as another row ({METHODS[name].algorithm}); choose another name"
        )


def make_agent(
    name: str,
    policy: Any = "MultiInputPolicy",
    env: Any = None,
    dataset: Source | None = None,
    **kwargs: Any,
) -> OfflineAlgorithm:
    """An agent by the name of its method.

    :param name: one of :data:`METHODS`
    :param policy: as in the classes
    :param env: likewise
    :param dataset: likewise; it is drawn anew for methods that have a scene of their own, see :func:`redrawn`, and for
        those of objects, see :func:`masked_dataset`
    :param kwargs: arguments of the class that replace the preset's
    :raises ValueError: for an unknown name, options out of range, or a dataset that cannot be drawn anew
    """
    method = get_method(name)
    if method.scene and dataset is not None:
        dataset = redrawn(dataset, method.scene, env)
    if method.mask_target and dataset is not None:
        dataset = masked_dataset(dataset, method.mask_target, env)
    return method.load_class()(policy, env, dataset, **{**method.options, **kwargs})


def load_agent(path: Any, **kwargs: Any) -> OfflineAlgorithm:
    """An agent file of any method here or registered.

    :param path: the file, with or without ``.safetensors``
    :param kwargs: as in the classes' ``load``
    :raises ValueError: when the file is damaged or of a class that no method has
    """
    from masklam_agents.common.saving import read_header

    wanted = read_header(path)["class"]
    entry_points = ["masklam_agents:ExternalLAM", *(method.algorithm for method in METHODS.values())]
    known = {entry_point.split(":")[1]: entry_point for entry_point in entry_points}
    if wanted not in known:
        raise ValueError(f"{path}: {unknown_name('class of agents', wanted, known)}")
    return _imported(f"the class of {path}", known[wanted]).load(path, **kwargs)


def redrawn(dataset: Source, distractor: Any, env: Any = None) -> Dataset:
    """The same trajectories, drawn with another distractor; masks that no simulator has drawn stay.

    :param dataset: frames or recorded physics; all but ``LazyFrames`` do not know their camera and need ``env``
    :param env: an environment whose view (model, camera, masks) is drawn; not needed for ``LazyFrames``
    :raises ValueError: when there is no view to draw with
    """
    from masklam_envs.data.cache import open_frames
    from masklam_envs.data.frames import LazyFrames, render_frames
    from masklam_envs.data.trajectories import Trajectories

    view = _view(dataset, env).again(distractor=distractor, correlation=None)
    if isinstance(dataset, Trajectories):
        return open_frames(dataset, view)
    if isinstance(dataset, LazyFrames):
        return dataset.seen_by(view)
    drawn = render_frames(dataset.trajectories, view)
    if dataset.trajectories.meta.get("masks", "simulator") != "simulator":
        drawn.mask[:] = dataset.mask
    return drawn


def masked_dataset(dataset: Source, target: str, env: Any = None) -> Dataset:
    """The same trajectories and pixels with the simulator's masks of something else.

    :param dataset: as in :func:`redrawn`
    :param target: ``"agent"``, ``"object"``, ``"foreground"``, or ``"parts"``: both, told apart
    :param env: likewise
    :raises ValueError: when there is no view to draw with, or the task has no object
    """
    from masklam_envs.data.cache import open_frames
    from masklam_envs.data.frames import Frames, LazyFrames, render_frames
    from masklam_envs.data.parts import PartFrames
    from masklam_envs.data.trajectories import Trajectories

    if isinstance(dataset, PartFrames) and target == "parts":
        return dataset
    view, recorded = _view(dataset, env), dataset if isinstance(dataset, Trajectories) else dataset.trajectories
    # Whose masks the dataset had until now.
    recorded = dataclasses.replace(recorded, meta={k: v for k, v in recorded.meta.items() if k != "masks"})
    if target == "parts":
        parts = PartFrames(recorded, view, block=getattr(dataset, "block", 25))
        return parts.select(range(recorded.episodes)) if isinstance(dataset, Frames) else parts
    drawn = view.again(mask_target=target, mask_source="simulator")
    if isinstance(dataset, Trajectories):
        return open_frames(recorded, drawn)
    if isinstance(dataset, LazyFrames):
        return LazyFrames(recorded, drawn, block=dataset.block)
    return render_frames(recorded, drawn)


def _view(dataset: Source, env: Any) -> View:
    """What a dataset is drawn with."""
    from masklam_agents.common.shown import shown_view
    from masklam_envs.data.frames import LazyFrames

    if isinstance(dataset, LazyFrames):
        return dataset.view
    view = None if isinstance(env, str) else shown_view(env)
    if view is None:
        raise ValueError(
            "these frames are drawn anew from physics: give LazyFrames(trajectories, env) as dataset, or an "
            "environment of masklam_envs as env"
        )
    return view


def _imported(what: str, entry_point: str) -> type[OfflineAlgorithm]:
    found: type[OfflineAlgorithm] = load(what, entry_point)
    return found
