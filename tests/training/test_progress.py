import io

import pytest

from nnunet_ext.training import progress
from nnunet_ext.training.progress import IterationProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(bar):
    bar.start("epoch 3", 2)
    bar.advance(0.5)
    bar.advance(0.25)
    shown = bar._bar is not None
    bar.stop()
    return shown


def test_a_terminal_shows_count_and_loss(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stdout", terminal)
    assert run(IterationProgress())
    assert "epoch 3" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
    assert "loss 0.25" in terminal.getvalue()


@pytest.mark.parametrize(
    ("stream", "wanted"), [(io.StringIO(), True), (Terminal(), False)], ids=["file", "rank 1"]
)
def test_silent_elsewhere(stream, wanted, monkeypatch):
    monkeypatch.setattr(progress.sys, "stdout", stream)
    assert not run(IterationProgress(wanted))
    assert stream.getvalue() == ""


def test_stop_without_start_and_restart():
    bar = IterationProgress()
    bar.stop()
    bar.advance(1.0)
    assert bar._bar is None
