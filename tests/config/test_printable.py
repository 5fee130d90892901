"""Text of anybody's on a terminal."""

import json

import pytest

from rebnn_search.config import UserError, exit_on_user_error, printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold] naïve 猫", "plain [bold] naïve 猫"), ("\x1b[31mred", r"\x1b[31mred"), ("a\tb\r\n", r"a\tb\r\n"),
        ("\x9b2J", r"\x9b2J"), ("\u202egnp", r"\u202egnp"), ("\u2028", r"\u2028"), ("\ud800", r"\ud800"), ("\x00", r"\x00"),
        ("می\u200cخواهم", "می\u200cخواهم"), ("C:\\new", "C:\\new"), ("\U000e0041", r"\U000e0041"), ("a\u00a0b", "a\u00a0b"),
    ],
)  # fmt: skip
def test_what_acts_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    found = printable_json([text])
    assert json.loads(found) == [text]
    assert printable(found) == found


def test_an_error_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise UserError("f.yaml:1: \x1b]0;owned\x07\nf.yaml:2: b")

    with pytest.raises(SystemExit):
        exit_on_user_error(command)
    assert capsys.readouterr().err == "error: f.yaml:1: \\x1b]0;owned\\x07\nf.yaml:2: b\n"
