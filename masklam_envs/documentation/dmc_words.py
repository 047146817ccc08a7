"""What is said of dm_control's tasks, from the sources of version 1.0.50; a step's reward is in [0, 1] but for lqr's.

``u`` is an action's number.  "1 at a, 0.1 at b" is a Gaussian: 0.1 to the power of the square of the way from a to b.
"""

from __future__ import annotations

from masklam_envs.documentation.words import Words

ANYWHERE = "Limited joints uniform within their limits, other hinges in [-pi, pi] rad, at rest."
FREELY = (
    "Limited joints uniform within their limits, the root turned by a random quaternion, at rest; drawn again until "
    "nothing touches anything."
)
SMALL_CONTROL = "(4 + the mean of max(0, 1 - u^2)) / 5"

_CARTPOLE = (
    "the mean of (1 + cosine of a pole's angle) / 2 x (1 + c) / 2, c = 1 with the cart in the middle and 0.1 at 2 m x "
    "(4 + max(0, 1 - u^2)) / 5 x (1 + w) / 2, w = 1 with poles at rest and 0.1 at 5 rad/s."
)
_CARTPOLE_SPARSE = "1 while the cart is within 0.25 m of the middle and every pole's cosine at least 0.995, else 0."
_CARTPOLE_UP = (
    "The cart uniform in [-0.1, 0.1] m, poles in [-0.034, 0.034] rad from upright; velocities normal with a standard "
    "deviation of 0.01."
)
_CARTPOLE_DOWN = (
    "The cart normal around the middle (0.01 m), the first pole around hanging down (0.01 rad), others around the one "
    "below them (0.1 rad); velocities normal with a standard deviation of 0.01."
)
_FINGER = "Angles of the finger uniform within their limits, of the body in [-pi, pi] rad, not touching, at rest"
_FISH = "The body turned by a random quaternion, fins and tail uniform in [-0.2, 0.2] rad, at rest"
_STANDING = (
    f"s = 1 with the head at 1.4 m or above and 0.1 at 1.05 m, t = (1 + cosine of the tilt of the {{body}}) / 1.9 and "
    f"at most 1, c = {SMALL_CONTROL}"
)
_DOG_STAND = (
    "the product of: 1 with the torso at 0.37 m or above and 0.1 on the ground; the same of the pelvis at 0.43 m; (1 + "
    "cosine of the tilt) / 1.87, at most 1, of skull, torso and pelvis; 0.9 + 0.1 x the share of the body's weight "
    "(100 N) on palms and soles, at most 1"
)
_DOG_START = (
    "The model's standing pose turned by a uniform angle about the vertical; velocities along the ground and about the "
    "vertical normal with a standard deviation of 2 (m/s, rad/s); states of the actuators uniform within their ranges"
)
_MANIPULATOR = (
    "The arm's joints uniform within their limits, [-pi, pi] rad without any, the hand symmetric. The {place} uniform: "
    "x in [-0.4, 0.4] m, z in [0.1, 0.4] m, turned by up to {turn} rad. The {thing} in the hand (one in ten), at the "
    "target (one in ten), or anywhere: x in [-0.5, 0.5] m, z in [0, 0.7] m, flying along x by up to 5 m/s. Drawn again "
    "until nothing touches anything."
)
_BALL = "1 with the ball within 0.01 m of its target, 0.1 at 0.02 m from there."
_PEG = (
    "the larger of b and g / 3: b the mean over the peg's middle and tip of being at the target's, g that over the "
    "peg's two places for grasping of being in the hand; each is 1 within 0.01 m and 0.1 at 0.02 m from there."
)
_STACKER = (
    "c x h: c = 1 with a box's middle at the target and 0.1 at 0.044 m; h = 1 with the hand at least 0.1 m away from "
    "the target and 0.1 at 0.09 m."
)
_STACKER_START = (
    "The arm's joints uniform within their limits, [-pi, pi] rad without any, the hand symmetric. Boxes x in [0.1, "
    "0.3] m, z in [0, 0.7] m, at any angle; the target on the ground or one of the heights of a pile of {n}, x in "
    "[-0.37, 0.37] m. Drawn again until nothing touches anything; at rest."
)
_SWIMMER = "1 with the nose within 0.1 m of the target, else 1 / (1 + 9 (d / 0.5 m)^2) at the distance d from there."
_SWIMMER_START = (
    "Joints uniform within their limits, the body at any angle, at rest. The target's x and y uniform in [-2, 2] m, of "
    "one episode in five in [-0.3, 0.3] m."
)
_QUADRUPED_START = "The body turned by a random quaternion, as low as it touches nothing, at rest."


def _walker(task: str, speed: float) -> Words:
    stand = "s = 1 with the torso at 1.2 m or above and 0.1 at 0.6 m, t = (1 + cosine of its tilt) / 2"
    reward = f"(3 s + t) / 4: {stand}."
    if speed:
        move = f"m = forward speed / {speed:g} m/s, cut to [0, 1]"
        reward = f"(3 s + t) / 4 x (5 m + 1) / 6: {stand}, {move}."
    return Words(f"A planar pair of legs {task}.", reward, start=ANYWHERE)


def _humanoid(task: str, speed: float, body: str = "torso", who: str = "A human figure") -> Words:
    standing = _STANDING.format(body=body)
    if not speed:
        still = "d = the mean over the velocities along x and y of 1 at rest, 0.1 at 2 m/s"
        return Words(f"{who} {task}.", f"s x t x c x d: {standing}, {still}.", start=FREELY)
    move = f"m = horizontal speed / {speed:g} m/s and at most 1"
    return Words(f"{who} {task}.", f"s x t x c x (5 m + 1) / 6: {standing}, {move}.", start=FREELY)


def _dog(task: str, speed: float) -> Words:
    forward = f"; (4 f + 1) / 5, f = forward speed / {speed:g} m/s, cut to [0, 1], falling again beyond twice that."
    return Words(f"A dog of 73 joints {task}.", _DOG_STAND + (forward if speed else "."), start=f"{_DOG_START}.")


def _quadruped(task: str, speed: float) -> Words:
    reward = f"(1 + cosine of the torso's tilt) / 2 x (1 + v) / 2, v = forward speed / {speed:g} m/s, cut to [-1, 1]."
    return Words(f"A body on four legs with twelve motors {task}.", reward, start=_QUADRUPED_START)


def _manipulator(task: str, reward: str, place: str, thing: str, turn: str) -> Words:
    return Words(f"A planar arm {task}.", reward, start=_MANIPULATOR.format(place=place, thing=thing, turn=turn))


def _lqr(bodies: int, driven: str) -> Words:
    return Words(
        f"{bodies} masses on springs in a row, {driven}, are brought to rest in the middle.",
        "1 - half the sum of squared positions - 0.05 x the sum of squared actions; it may be negative.",
        "positions and velocities together of a norm below 1e-6.",
        "Positions in a random direction with a norm of sqrt(2), at rest.",
    )


DMC_WORDS: dict[str, Words] = {
    "acrobot-swingup": Words(
        "A double pendulum with a motor at its elbow alone brings its tip up to a target.",
        "1 with the tip within 0.2 m of the target, 0.1 at 1 m from there.",
        start="Both angles uniform in [-pi, pi] rad, at rest.",
    ),
    "acrobot-swingup_sparse": Words(
        "A double pendulum with a motor at its elbow alone brings its tip up to a target.",
        "1 with the tip within 0.2 m of the target, else 0.",
        start="Both angles uniform in [-pi, pi] rad, at rest.",
    ),
    "ball_in_cup-catch": Words(
        "A planar cup swings a ball on a string into itself.",
        "1 while the ball is in the cup, else 0.",
        start="The cup in the middle, the ball with x uniform in [-0.2, 0.2] m and z in [0.2, 0.5] m, not touching, at "
        "rest.",
    ),
    "cartpole-balance": Words("A cart keeps a pole upright.", _CARTPOLE, start=_CARTPOLE_UP),
    "cartpole-balance_sparse": Words("A cart keeps a pole upright.", _CARTPOLE_SPARSE, start=_CARTPOLE_UP),
    "cartpole-swingup": Words("A cart swings a pole up and keeps it upright.", _CARTPOLE, start=_CARTPOLE_DOWN),
    "cartpole-swingup_sparse": Words(
        "A cart swings a pole up and keeps it upright.", _CARTPOLE_SPARSE, start=_CARTPOLE_DOWN
    ),
    "cartpole-two_poles": Words("A cart swings two poles up, one on the other.", _CARTPOLE, start=_CARTPOLE_DOWN),
    "cartpole-three_poles": Words("A cart swings three poles up, one on the other.", _CARTPOLE, start=_CARTPOLE_DOWN),
    "cheetah-run": Words(
        "A planar robot of nine limbs runs to the right.",
        "the speed forwards / 10 m/s, cut to [0, 1].",
        start="Limited joints uniform within their limits, then 200 steps of the simulation (2 s) without action.",
    ),
    "dog-stand": _dog("stands", 0),
    "dog-walk": _dog("walks", 1),
    "dog-trot": _dog("trots", 3),
    "dog-run": _dog("runs", 9),
    "dog-fetch": Words(
        "A dog of 73 joints fetches a ball that is thrown.",
        f"{_DOG_STAND}; (6 r + 1) / 7, r = 1 / (1 + 9 d / 2 m) at the mouth's distance d from the ball beyond 0.005 m, "
        "and 1 near the target; (f + 1) / 2, f = 1 / (1 + 9 d / 10 m) at the ball's distance d from the target beyond "
        "0.1 m.",
        start=f"{_DOG_START}. The ball on a circle of 7.5 m around the middle, thrown inwards by up to 5 m/s and as "
        "high as 3 m.",
    ),
    "finger-spin": Words(
        "A finger of two joints spins a body on a hinge.",
        "1 while the body turns by -15 rad/s or faster, else 0.",
        start=f"{_FINGER}.",
    ),
    "finger-turn_easy": Words(
        "A finger of two joints turns a body's tip to a target.",
        "1 while the tip is within 0.07 m of the target, else 0.",
        start=f"{_FINGER}. The target at a uniform angle around the hinge.",
    ),
    "finger-turn_hard": Words(
        "A finger of two joints turns a body's tip to a target.",
        "1 while the tip is within 0.03 m of the target, else 0.",
        start=f"{_FINGER}. The target at a uniform angle around the hinge.",
    ),
    "fish-upright": Words(
        "A fish turns its back upwards.",
        "1 upright, 0.1 lying on its side (Gaussian in the cosine of its tilt).",
        start=f"{_FISH}.",
    ),
    "fish-swim": Words(
        "A fish swims to a target.",
        "(7 t + u) / 8: t = 1 with the mouth within 0.045 m of the target's middle, 0.1 at 0.09 m from there; u = (1 + "
        "cosine of its tilt) / 2.",
        start=f"{_FISH}. The target uniform: x and y in [-0.4, 0.4] m, z in [0.1, 0.3] m.",
    ),
    "hopper-stand": Words(
        "A planar leg with a foot stands.",
        f"1 with the torso 0.6 to 2 m above the foot, else 0; x {SMALL_CONTROL}.",
        start=ANYWHERE,
    ),
    "hopper-hop": Words(
        "A planar leg with a foot hops to the right.",
        "1 with the torso 0.6 to 2 m above the foot, else 0; x the speed forwards / 2 m/s, cut to [0, 1].",
        start=ANYWHERE,
    ),
    "humanoid-stand": _humanoid("stands", 0),
    "humanoid-walk": _humanoid("walks", 1),
    "humanoid-run": _humanoid("runs", 10),
    "humanoid-run_pure_state": _humanoid("runs", 10),
    "humanoid_CMU-stand": _humanoid("stands", 0, "thorax", "A human figure of 56 joints"),
    "humanoid_CMU-walk": _humanoid("walks", 1, "thorax", "A human figure of 56 joints"),
    "humanoid_CMU-run": _humanoid("runs", 10, "thorax", "A human figure of 56 joints"),
    "lqr-lqr_2_1": _lqr(2, "the first of them driven"),
    "lqr-lqr_6_2": _lqr(6, "the first two of them driven"),
    "manipulator-bring_ball": _manipulator("brings a ball to a target", _BALL, "target", "ball", "pi"),
    "manipulator-bring_peg": _manipulator("brings a peg to a target", _PEG, "target", "peg", "pi"),
    "manipulator-insert_ball": _manipulator("puts a ball into a cup", _BALL, "cup", "ball", "pi / 3"),
    "manipulator-insert_peg": _manipulator("puts a peg into a slot", _PEG, "slot", "peg", "pi / 3"),
    "pendulum-swingup": Words(
        "A weak motor swings a pole up and keeps it upright.",
        "1 while the pole is within 8 degrees of upright, else 0.",
        start="The angle uniform in [-pi, pi] rad, at rest.",
    ),
    "point_mass-easy": Words(
        "A point in the plane goes to the middle.",
        f"n x {SMALL_CONTROL}; n = 1 within 0.015 m of the target, 0.1 at 0.015 m from there.",
        start="x and y uniform within their joints' limits, at rest.",
    ),
    "point_mass-hard": Words(
        "A point in the plane goes to the middle; what each action drives is another direction in every episode.",
        f"n x {SMALL_CONTROL}; n = 1 within 0.015 m of the target, 0.1 at 0.015 m from there.",
        start="x and y uniform within their joints' limits, at rest. The two actions push in two random directions "
        "whose cosine is at most 0.9.",
    ),
    "quadruped-walk": _quadruped("walks", 0.5),
    "quadruped-run": _quadruped("runs", 5),
    "quadruped-fetch": Words(
        "A body on four legs with twelve motors brings a ball to the middle.",
        "(1 + cosine of the torso's tilt) / 2 x r x (1 + f) / 2: r falls from 1 to 0 with the ball's horizontal "
        "distance beyond 0.45 m, f with that from ball to target beyond 0.4 m, both within 21.2 m.",
        start="The body at a uniform place within 13.5 m of the middle along x and y, turned by a uniform angle about "
        "the vertical, as low as it touches nothing. The ball likewise at a height of 2 m; its velocities along x and "
        "y normal with a standard deviation of 5 m/s.",
    ),
    "reacher-easy": Words(
        "A planar arm of two links brings its finger to a target, which is elsewhere in every episode.",
        "1 while the finger's middle is within 0.06 m of the target's, else 0.",
        start=f"{ANYWHERE} The target at a uniform angle around the arm's root, 0.05 to 0.2 m away.",
    ),
    "reacher-hard": Words(
        "A planar arm of two links brings its finger to a small target, which is elsewhere in every episode.",
        "1 while the finger's middle is within 0.025 m of the target's, else 0.",
        start=f"{ANYWHERE} The target at a uniform angle around the arm's root, 0.05 to 0.2 m away.",
    ),
    "stacker-stack_2": Words(
        "A planar arm puts one of two boxes where the target is and lets go.",
        _STACKER,
        start=_STACKER_START.format(n="two"),
    ),
    "stacker-stack_4": Words(
        "A planar arm puts one of four boxes where the target is and lets go.",
        _STACKER,
        start=_STACKER_START.format(n="four"),
    ),
    "swimmer-swimmer6": Words("A chain of six links swims to a target.", _SWIMMER, start=_SWIMMER_START),
    "swimmer-swimmer15": Words("A chain of fifteen links swims to a target.", _SWIMMER, start=_SWIMMER_START),
    "walker-stand": _walker("stands", 0),
    "walker-walk": _walker("walks", 1),
    "walker-run": _walker("runs", 8),
}
