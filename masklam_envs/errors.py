"""One way to say that a name is unknown: the close match, then everything that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for a name that is not in a list.

    :param kind: what is named, in the singular, e.g. ``"distractor"``
    :param name: what was given
    :param known: the names that exist, in any order
    :return: One sentence or two, for the text of an exception.

    >>> unknown_name("distractor", "vidoe", ["video", "action"])
    "unknown distractor 'vidoe'. Did you mean 'video'? Known: action, video"
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(names) or '(none)'}"
