"""Items worked on in several processes."""

import os
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
