"""What ends a driver whose Ray is gone."""

import pytest
from support.forked import forked_code

END = (
    "from rebnn_search.execution.ray.watchdog import _Watch\n"
    "_Watch('127.0.0.1:1', 'node', None, lambda: {stopping})._end('its head')"
)


@pytest.mark.parametrize(("stopping", "code"), [(False, 1), (True, 130)])
def test_a_signal_to_the_whole_group_that_takes_ray_along_is_a_stop(stopping: bool, code: int) -> None:
    assert forked_code(END.format(stopping=stopping)) == code
