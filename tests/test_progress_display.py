"""Progress where there is no terminal: a line now and then."""

import io
import re
import threading
import time

import pytest
from rich.console import Console

from nnunet_ext import progress


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.02)
    return io.StringIO()


def test_a_line_tells_how_far_it_is_also_while_one_item_takes_long(log):
    def slow():
        yield 1
        deadline = time.monotonic() + 20
        while "1 of 2" not in log.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield 2

    assert list(progress.shown(slow(), 2, "[red]Cases", Console(file=log))) == [1, 2]
    lines = log.getvalue().splitlines()
    assert re.fullmatch(r"\[red\]Cases: 1 of 2 after \d+ s, about \d+ s left", lines[-1])
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(speak)")]


def test_what_is_done_soon_says_nothing():
    log = io.StringIO()
    assert list(progress.shown(range(3), 3, "Cases", Console(file=log))) == [0, 1, 2]
    assert log.getvalue() == ""


def test_a_terminal_gets_a_bar():
    log = io.StringIO()
    assert list(progress.shown(range(3), 3, "[red]Cases", Console(file=log, force_terminal=True))) == [
        0,
        1,
        2,
    ]
    assert "[red]Cases" in log.getvalue()
    assert "3/3" in log.getvalue()
