"""What this package raises inside of Tune's loop comes out of it as it was."""

import pytest
from optuna.exceptions import StorageInternalError
from ray.tune.error import TuneError

from rebnn_search.config import UserError
from rebnn_search.execution.ray.executor import _own_errors


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UserError("s: no"), StorageInternalError("locked")])
def test_it_is_raised_again(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, _own_errors():
        try:
            raise error
        except Exception:
            raise TuneError("Traceback (most recent call last): ...")  # noqa: B904 - as Tune does
    assert caught.value is error


def test_an_error_of_tune_s_own_stays_one() -> None:
    with pytest.raises(TuneError, match="when all trials finished"), _own_errors():
        raise TuneError("Called step when all trials finished?")
