"""What is said of Meta-World's tasks, from the sources of version 3.1.1; a step's reward is in [0, 10].

Terms "in place", "reached" and "grasped" are in [0, 1]; joined, they are Hamacher's product a b / (a + b - a b).
"""

from __future__ import annotations

from masklam_envs.documentation.words import Words

ENDS = 'nothing; with `base_kwargs={"terminate_on_success": True}` the first step with `info["success"]`.'
_HAND = "The hand at x 0, y 0.6, z 0.2 m, the gripper open, at rest. "
_NEAR_HAND = "The hand at x 0, y 0.4, z 0.2 m, the gripper open, at rest. "
_PUCK = "The puck on the table, uniform: x in [-0.1, 0.1] m, y in [0.6, 0.7] m. "
_APART = " Drawn again until they are 0.15 m apart along the table."
_AIR = "x in [-0.1, 0.1] m, y in [0.8, 0.9] m, z in [0.05, 0.3] m"


def _task(goal: str, reward: str, success: str, start: str) -> Words:
    return Words(goal, f'{reward} `info["success"]`: {success}', ENDS, start)


METAWORLD_WORDS: dict[str, Words] = {
    "reach-v3": _task(
        "A robot arm brings its hand to a goal in the air.",
        "10 x in place: 1 with the fingers within 0.05 m of the goal, falling with the distance.",
        "the fingers within 0.05 m.",
        f"{_HAND}{_PUCK}The goal uniform: {_AIR}.{_APART}",
    ),
    "push-v3": _task(
        "A robot arm pushes a puck to a goal on the table.",
        "2 x grasped; with the puck between the fingers (within 0.02 m) twice that + 1 + 5 x in place; 10 with the "
        "puck within 0.05 m of the goal.",
        "the puck within 0.05 m of the goal.",
        f"{_HAND}{_PUCK}The goal on the table, uniform: x in [-0.1, 0.1] m, y in [0.8, 0.9] m.{_APART}",
    ),
    "pick-place-v3": _task(
        "A robot arm lifts a puck to a goal in the air.",
        "grasped joined with in place; with the puck between the fingers and 0.01 m up + 1 + 5 x in place; 10 with the "
        "puck within 0.05 m of the goal.",
        "the puck within 0.07 m of the goal.",
        f"{_HAND}{_PUCK}The goal uniform: {_AIR}.{_APART}",
    ),
    "door-open-v3": _task(
        "A robot arm pulls a door open.",
        "2 x (the hand at the handle joined with closing the gripper) + 8 x opened (0.2 from 2 degrees on, 0.8 with "
        "the angle); 10 at success.",
        "the handle within 0.08 m of the goal along x.",
        f"{_HAND}The door closed, uniform: x in [0, 0.1] m, y in [0.85, 0.95] m.",
    ),
    "drawer-open-v3": _task(
        "A robot arm pulls a drawer open.",
        "5 x (the hand at the handle + opened), both 1 where that is done and falling with the distance.",
        "the handle within 0.03 m of the goal, 0.2 m before where it starts.",
        f"{_HAND}The drawer closed, x uniform in [-0.1, 0.1] m, y 0.9 m.",
    ),
    "drawer-close-v3": _task(
        "A robot arm pushes a drawer shut.",
        "10 x (the hand at the handle, joined with closing the gripper, joined with in place); 10 at success.",
        "the handle within 0.065 m of the goal.",
        f"{_HAND}The drawer 0.15 m open, x uniform in [-0.1, 0.1] m, y 0.9 m.",
    ),
    "button-press-topdown-v3": _task(
        "A robot arm presses a button from above.",
        "5 x (the gripper closed joined with the fingers at the button); within 0.03 m of it + 5 x pressed.",
        "the button within 0.024 m of being pressed.",
        f"{_NEAR_HAND}The box of the button uniform: x in [-0.1, 0.1] m, y in [0.8, 0.9] m.",
    ),
    "peg-insert-side-v3": _task(
        "A robot arm puts a peg into a hole in the side of a box.",
        "grasped joined with in place (which counts lifting over the box's edges); with the peg in the hand and 0.01 m "
        "up grasped is 1, and + 1 + 5 x in place; 10 at success.",
        "the peg's head within 0.07 m of the hole, across it counted twice.",
        f"{_HAND}The peg on the table, uniform: x in [0, 0.2] m, y in [0.5, 0.7] m; the box x in [-0.35, -0.25] m, y "
        "in [0.4, 0.7] m. Drawn again until they are 0.1 m apart.",
    ),
    "window-open-v3": _task(
        "A robot arm slides a window open.",
        "10 x (the fingers at the handle joined with in place).",
        "the handle within 0.05 m of the goal along x.",
        f"{_NEAR_HAND}The window shut, uniform: x in [-0.1, 0.1] m, y in [0.7, 0.9] m; the goal 0.2 m along x.",
    ),
    "window-close-v3": _task(
        "A robot arm slides a window shut.",
        "10 x (the fingers at the handle joined with in place).",
        "the handle within 0.05 m of the goal along x.",
        f"{_NEAR_HAND}The window 0.2 m open, x 0, y uniform in [0.75, 0.9] m.",
    ),
}
