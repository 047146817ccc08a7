"""Tasks of dm_control's suite and of Meta-World, behind optional extras; :mod:`masklam_envs.suites.catalog` lists them.

Importing this package imports neither of them.
"""
