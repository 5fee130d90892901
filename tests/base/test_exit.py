"""How a command ends."""

import signal
import subprocess
import sys

import pytest

COMMAND = """
import sys
from rebnn_search.base.errors import exit_on_user_error

def command():
    print("begun", flush=True)
    sys.stdin.read()
    {then}
    return 0

exit_on_user_error(command)
"""


@pytest.mark.parametrize("lines", [3, 1_000_000])
def test_a_reader_who_has_seen_enough_ends_it_without_a_word(lines: int) -> None:
    """Few lines are written when it ends, many while it goes on."""
    code = COMMAND.format(then=f"print(*range({lines}), sep='\\n')")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == ""
        assert process.wait() == 128 + signal.SIGPIPE


def test_the_broken_pipe_of_something_else_is_no_such_end() -> None:
    code = COMMAND.format(then="raise BrokenPipeError(32, 'the server is gone')")
    done = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the server is gone" in done.stderr
