import warnings

import pytest

from rebnn_search.config import Notice, UserError, exit_on_user_error


def test_a_command_called_in_a_process_leaves_its_warnings_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.formatwarning

    def command() -> int:
        assert warnings.formatwarning(Notice("mind this"), Notice, "file.py", 3) == "notice: mind this\n"
        raise UserError("no")

    for _ in range(2):
        with pytest.raises(SystemExit):
            exit_on_user_error(command)
    assert warnings.formatwarning is before
    assert capsys.readouterr().err == "error: no\nerror: no\n"
