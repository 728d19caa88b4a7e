"""Items worked on in several processes."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.worker_pool import as_they_finish, in_order


def where(item):
    return item, os.getpid()


def wait(seconds):
    time.sleep(seconds)
    return seconds


def fail_at_two(item):
    if item == 2:
        raise ValueError("two")
    return item


def die(item):
    os._exit(item)


@pytest.mark.parametrize(("items", "processes"), [([1, 2, 3], 1), ([1], 4), ([], 4)])
def test_little_work_stays_in_this_process(items, processes):
    done = list(as_they_finish(where, items, processes, "Try again"))
    assert done == [(item, os.getpid()) for item in items]


def test_several_processes_do_every_item_elsewhere():
    done = dict(as_they_finish(where, range(6), 2, "Try again"))
    assert sorted(done) == list(range(6))
    assert os.getpid() not in done.values()


@pytest.mark.slow
def test_what_is_done_first_comes_first():
    assert list(as_they_finish(wait, [3.0, 0.0], 2, "Try again")) == [0.0, 3.0]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_in_order_is_the_order_of_the_items(processes):
    assert list(in_order(wait, [1.0, 0.0, 0.5], processes, "Try again")) == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("over", [as_they_finish, in_order])
@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_the_work_is_raised_here(over, processes):
    with pytest.raises(ValueError, match="two"):
        list(over(fail_at_two, [0, 1, 2], processes, "Try again"))


@pytest.mark.parametrize("over", [as_they_finish, in_order])
def test_a_dead_worker_is_one_message_with_its_remedy(over):
    with pytest.raises(UserError, match=r"worker process died.*Use fewer workers"):
        list(over(die, [3, 4], 2, "Use fewer workers"))


def hoard(item):
    raise MemoryError(f"Unable to allocate {item}.00 TiB for an array with shape (9, 9)")


@pytest.mark.parametrize("processes", [1, 2])
def test_an_item_too_large_for_the_memory_is_named_with_the_array(processes):
    with pytest.raises(UserError) as caught:
        list(as_they_finish(hoard, [3, 4], processes, "Use --tile.", name=lambda item: f"case {item}"))
    assert re.fullmatch(
        r"case [34]: not enough memory \(Unable to allocate [34].00 TiB for an array with shape \(9, 9\)\). "
        "Use --tile.",
        str(caught.value),
    )


def test_the_cases_at_which_a_worker_died_are_named():
    with pytest.raises(UserError, match=r"died at one of c3, c4, perhaps for lack of memory. Use fewer\."):
        list(as_they_finish(die, [3, 4, 5], 2, "Use fewer.", name=lambda item: f"c{item}"))


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
from nnunet_ext.files import replacing
from nnunet_ext.worker_pool import as_they_finish

def write(path):
    with replacing(path) as temporary:
        temporary.write_text("half")
        time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a script runs the tests
    paths = [Path(sys.argv[1]) / str(number) for number in range(9)]
    list(as_they_finish(write, paths, int(sys.argv[2]), "Try again"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of POSIX")
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("whom", ["parent", "all"])
def test_ctrl_c_ends_every_process_and_leaves_no_file(tmp_path, processes, whom):
    script, out = tmp_path / "script.py", tmp_path / "out"
    out.mkdir()
    script.write_text(INTERRUPTED)
    words = [sys.executable, str(script), str(out), str(processes)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(out.iterdir())) < processes and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(out.iterdir())) == processes
    (os.kill if whom == "parent" else os.killpg)(process.pid, signal.SIGINT)
    stderr = process.communicate(timeout=30)[1]  # returns when the last worker, too, has let go of stderr
    assert process.returncode == -signal.SIGINT
    assert "Process Spawn" not in stderr  # a worker's traceback
    assert list(out.iterdir()) == []
