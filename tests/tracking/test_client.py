from pathlib import Path

import pytest

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking import check_uri


def test_an_sqlite_uri_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert check_uri(f"sqlite:///{tmp_path}/x.db") == f"sqlite:///{tmp_path}/x.db"


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"there is no directory {tmp_path}/nowhere"):
        check_uri(f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UserError, match="is a directory"):
        check_uri(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("uri", ["file:///tmp/x", "mlflow.db", "ftp://host", ""])
def test_other_schemes_are_refused_with_what_is_allowed(uri: str) -> None:
    with pytest.raises(UserError, match="expected sqlite:///PATH, a database URL"):
        check_uri(uri)


@pytest.mark.parametrize("uri", ["postgresql+psycopg://u@h/db", "mysql://h/db"])
def test_databases_are_passed_on(uri: str) -> None:
    assert check_uri(uri) == uri


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("cannot reach https://me:p%40ss@host:5000/x now", "cannot reach https://me:***@host:5000/x now"),
        ("https://host:5000/x", "https://host:5000/x"),
        ("sqlite:///a@b", "sqlite:///a@b"),
        ("postgresql://u:p@ss@h:1/db", "postgresql://u:***@h:1/db"),
        ("postgresql://u:pa/ss@h/db", "postgresql://u:***@h/db"),
        ("postgresql://h:1/db?user=u&password=s3&sslmode=require", "postgresql://h:1/db?user=u&password=***&sslmode=require"),
        ("s3://key:secret@b/x?session_token=t&region=eu", "s3://key:***@b/x?session_token=***&region=eu"),
        ("http://TOKEN@h:1/x", "http://***@h:1/x"),
        ("mysql://u@h/db", "mysql://u@h/db"),
        ("http://h:5000/#/experiments/1?x=a@b", "http://h:5000/#/experiments/1?x=a@b"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x"),
        ("http://u:p@[::1]:5000/x", "http://u:***@[::1]:5000/x"),
        ("http://h/x,postgresql://u:p@h/db", "http://h/x,postgresql://u:***@h/db"),
        ('{"a":"http://h:1/x","b":"postgresql://u:p@h/db"}', '{"a":"http://h:1/x","b":"postgresql://u:***@h/db"}'),
        ("http://h/login?next=postgresql://u:p@h/db", "http://h/login?next=postgresql://u:***@h/db"),
        ("postgresql://u:123/45@h/db", "postgresql://u:***@h/db"),
        ("s3://AK:12/ab+cd@b/x", "s3://AK:***@b/x"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
    ],
)
def test_passwords_are_hidden(text: str, hidden: str) -> None:
    assert hide_secrets(text) == hidden
