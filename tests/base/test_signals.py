"""Stopping by a signal, whenever it comes."""

import io
import os
import signal
import sys
import threading

import pytest
from rich.console import Console
from rich.live import Live

from rebnn_search.base.signals import STOPS, signals_given_back, stop_on_signals


class Interrupted(io.RawIOBase):
    """A stream whose first write is interrupted by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.written = number, b""

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        number, self.number = self.number, 0
        if number:
            signal.raise_signal(number)
        self.written += bytes(data)
        return len(data)


@pytest.mark.parametrize("number", STOPS)
def test_the_first_asks_and_the_second_interrupts(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    asked = []
    with signals_given_back():
        stop_on_signals(lambda: asked.append(True), "soon")
        signal.raise_signal(number)
        assert asked == [True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert asked == [True]
    assert "stopping soon; once more to stop at once" in capfd.readouterr().err


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_amid_a_write_to_stderr_stops_too(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    raw = Interrupted(number)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True))
    with signals_given_back():
        stop_on_signals(lambda: asked.append(True))
        print("a warning", file=sys.stderr)
    assert asked == [True]
    assert b"a warning\n" in raw.written


def test_a_second_signal_amid_the_answer_to_the_first_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(Interrupted(signal.SIGINT)), line_buffering=True))
    with signals_given_back():
        stop_on_signals(lambda: asked.append(True))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert asked == [True]


def test_a_signal_stops_though_nobody_reads_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    reads, writes = os.pipe()
    os.close(reads)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.FileIO(writes, "w"), write_through=True))
    with signals_given_back():
        stop_on_signals(lambda: asked.append(True))
        signal.raise_signal(signal.SIGTERM)
    assert asked == [True]


def test_the_answer_goes_past_a_display_that_another_thread_is_drawing() -> None:
    """That thread may wait for a lock of the frame that the signal interrupted, and hold the one that printing takes."""
    out = io.StringIO()
    with Live("drawn", console=Console(file=out, force_terminal=True), redirect_stderr=True) as live:
        drawing, drawn, in_time = threading.Event(), threading.Event(), []

        def draw() -> None:
            with live._lock:
                drawing.set()
                in_time.append(drawn.wait(10))

        thread = threading.Thread(target=draw)
        thread.start()
        assert drawing.wait(60)
        asked = []
        with signals_given_back():
            stop_on_signals(lambda: asked.append(True))
            signal.raise_signal(signal.SIGTERM)
        drawn.set()
        thread.join()
    assert asked == [True] and in_time == [True]
