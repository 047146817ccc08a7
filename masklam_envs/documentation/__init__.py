"""What there is to know of an environment, as Markdown: ``docs/environments.md`` and ``masklam envs NAME``.

Spaces, actions, the state's numbers, bodies and arguments are read from the environment itself; only what no model
tells, how it is rewarded, how it starts and when it ends, is written down: for Gymnasium's v5 environments and for the
suites, from their sources with default arguments.
"""

from masklam_envs.documentation.describe import (
    SECTIONS,
    arguments,
    describe,
    distractors,
    is_described,
    summary,
    words_of,
)
from masklam_envs.documentation.gymnasium_words import WORDS
from masklam_envs.documentation.markdown import table
from masklam_envs.documentation.words import Words

__all__ = [
    "SECTIONS",
    "WORDS",
    "Words",
    "arguments",
    "describe",
    "distractors",
    "is_described",
    "summary",
    "table",
    "words_of",
]
