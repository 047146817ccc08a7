"""The documented example of a distractor of one's own runs, end to end."""

import subprocess
import sys


def test_your_distractor_runs_and_replays(repo):
    command = [sys.executable, str(repo / "examples" / "your_distractor.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=repo).stdout
    assert printed.strip().endswith("51 frames; drawn again from the recorded physics they are equal")
