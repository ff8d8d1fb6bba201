"""What signals ask of a run."""

from __future__ import annotations

import signal

import pytest

from train.machine import stop as stopping
from train.machine.stop import SIGNALS, stop_on_signals


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_each_signal_asks_the_run_to_stop_and_is_told_by_the_exit_code(number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        assert not stop.requested
        # A launcher that hands on what the process got too.
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert (stop.requested, stop.exit_code) == (True, 128 + number)
    assert signal.getsignal(number) is not stop.request


def test_asked_again_after_some_seconds_it_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "SECONDS_OF_ONE_WISH", -1.0)
    with stop_on_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)
