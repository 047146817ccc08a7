"""Many environments in one process: threads, physics and tracks of a whole batch; see :mod:`masklam_envs.vector`."""
