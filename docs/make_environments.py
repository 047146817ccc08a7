"""Write docs/environments.md from the registered environments.

Run ``python docs/make_environments.py``; a test compares the file with what this would write.
"""

from __future__ import annotations

from pathlib import Path

from masklam_envs.documentation import arguments, describe, distractors, summary
from masklam_envs.tasks import TASKS

DOCS = Path(__file__).parent

HEAD = """# Environments

<!-- Written by docs/make_environments.py; change masklam_envs/tasks.py or masklam_envs/documentation/ instead. -->

`import masklam_envs`, then `gym.make("MaskAnt-v0", distractor="action", correlation=0.9)`. Physics, rewards and time
limits are those of Gymnasium's v5 MuJoCo environments, untouched. Actions are cut to the bounds of the action space
before the base environment sees them, so that a recording holds what was applied: of an action outside, the reward has
the control cost of the cut one. `make_masked("Ant-v5")` is the same with another camera. `masklam envs` lists the ids,
`masklam envs MaskAnt-v0` prints what stands here, which is also the docstring of the environment that `gym.make`
returns (`env.unwrapped.__doc__`); those of dm_control and Meta-World ([suites.md](suites.md)) have the same sections.
"""

ARGUMENTS = """Names for `distractor`: {distractors}. Their options: [distractors.md](distractors.md).

Any other argument is an error that says where it belongs: one of the base environment's into `base_kwargs`
(`base_kwargs={{"forward_reward_weight": 2}}`), `frame_stack` to the wrapper [`FrameStack`](wrappers.md), `num_envs` to
`gym.make_vec` ([vector.md](vector.md)).
"""

OTHERS = """## Any other MuJoCo environment

`make_masked("Ant-v5")`, `make_masked("my_module:MyArm-v0")` or `make_masked(env)` does the same to any Gymnasium
environment whose `unwrapped` has MuJoCo's `model` and `data`; `masklam collect my_module:MyArm-v0` records one. What
changes actions or rewards goes inside, round the base ([wrappers.md](wrappers.md#inside-or-outside)).

Its actions must be a bounded vector, `Box(low, high, (A,))`, under every distractor, also `"none"`: they are recorded
as vectors and whitened by the bounds. Other ones (`Discrete`, without bounds) are an error; the base is wrapped first:

```python
bounded = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
env = make_masked(gymnasium.wrappers.TransformAction(base, lambda action: action, bounded))         # was unbounded
env = make_masked(gymnasium.wrappers.TransformAction(base, lambda action: int(action.argmax()), bounded))  # Discrete(3)
```

What is not seen:

* sites: both renderers draw geoms only; [`PlacedEnv`](#goals-and-fixtures-that-move) makes geoms of them, as
  dm_control's and Meta-World's are ([suites.md](suites.md));
* a mocap body, and what is moved by writing into the model: `PlacedEnv` again;
* a colour or size that the environment changes in its model at run time: both are taken when the renderer is made;
* textures of solids under the ray caster, which shows their mean colour: `renderer="opengl"` shows them;
* tendons, shadows, reflections and haze, and geoms of group 3 and above, as [rendering.md](rendering.md) says.
"""

CAMERAS = """## Cameras

A camera is chosen so that the agent stays inside the frame and is as large in it as that allows. `camera=` takes the
name or index of a camera of the model, or a description like those below: `lookat` (metres) is the middle of the
frame, `distance` (metres, above 0) how far away the camera is, `azimuth` and `elevation` (degrees; 90 and -45 without,
elevation in [-90, 90]) where it looks, as in MuJoCo's viewer; with `track`, `lookat` is relative to the centre of mass
of that body and all below it. `zoom` and `camera_offset` change any of them; a `Mask*-v0` id keeps its own, told with
its camera below, under another `camera` too, so give `zoom=1, camera_offset=(0, 0)` beside a description of yours.

The pendulums are small in their frames because those stand still and hold the whole rail: were the camera to follow
the cart, only the rail's ends would tell where it is.

Measured at 64 x 64 by `python benchmarks/agent_area.py` (a mask that reaches the outermost row or column of pixels
touches the edge; "hidden" counts the frames in which no pixel of an object is seen):

"""

MASKS = """## What the mask shows

`mask_target="agent"` (the default), `"object"` or `"foreground"`, which is both. Without names the model tells them
apart: a child of the world with everything attached to it is the agent if an actuator drives any of it, an object if
it can move by itself, else scenery. `agent_bodies` and `object_bodies` name bodies instead, each with all below it;
an unknown name is an error that lists the model's.
"""

PLACED = """## Goals and fixtures that move

Frames are drawn from the positions (`qpos`), live and again from recordings. Where a task puts a goal by writing into
the model (`self.model.body("goal").pos = ...`), or by a mocap body, its place is in none of them: `make_masked` warns
of a visible mocap body, and `collect` refuses an environment whose model changes while it runs. `PlacedEnv` gives each
such thing a free joint in a model for drawing, and draws sites, the usual goal markers, too:

```python
from masklam_envs import PlacedEnv, make_masked

env = make_masked(PlacedEnv(MyArm(), ["body:goal"]), mask_target="object", object_bodies=["goal"])
```

`"geom:target"`, `"site:goal"` and `"light:sun"` are the other kinds; all have to be fixed in the world. It reads the
file that the environment names as Gymnasium's do (`fullpath`); `source=` takes another, or the XML itself.
"""


def document() -> str:
    """The whole page."""
    measured = (DOCS / "results" / "agent_area.md").read_text()
    parts = [
        HEAD,
        summary() + "\n",
        "## Arguments of every environment\n\n" + arguments() + "\n",
        ARGUMENTS.format(distractors=distractors()),
        OTHERS,
        CAMERAS + measured,
        MASKS,
        PLACED,
        *(describe(env_id, fold=30) for env_id in TASKS),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    (DOCS / "environments.md").write_text(document())
