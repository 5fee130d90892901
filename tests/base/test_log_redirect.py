"""What reaches the terminal while a search runs, and what goes to its log."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rebnn_search.base.log_redirect import redirect_output


def say(name: str, words: str) -> None:
    thread = threading.Thread(name=name, target=print, args=(words,))
    thread.start()
    thread.join()


def test_what_ray_s_threads_print_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "driver.log"
    before = sys.stdout
    with redirect_output(log):
        say("ray_listen_error_messages", "(raylet) A worker died")
        say("progress", "trial 1 ends")
        print("the result")
        subprocess.run(["echo", "a child's"], check=True)
    assert sys.stdout is before
    say("ray_listen_error_messages", "after the search")
    assert capfd.readouterr().out == "trial 1 ends\nthe result\nafter the search\n"
    assert log.read_text(encoding="utf-8") == "(raylet) A worker died\na child's\n"


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """A notebook makes hundreds of searches in one process."""
    counts = []
    for _ in range(3):
        with redirect_output(tmp_path / "driver.log"):
            pass
        gc.collect()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[1] == counts[2]
