from nnunet_ext.demo.clock import Clock
from nnunet_ext.demo.pipeline import Step

TRAIN = Step("train", "", "", epochs=4, cost=5, start=0.5)
PREDICT = Step("predict", "", "", cost=1)


def test_the_rest_takes_as_long_as_what_is_done():
    times = iter([100.0, 130.0, 220.0, 400.0, 460.0])
    clock = Clock([TRAIN, PREDICT], now=lambda: next(times))
    assert clock.total == 6
    assert clock.report() == "0 min 30 s so far"  # nothing to go by yet
    clock.epoch(TRAIN, 2)
    assert clock.report() == "2 min 00 s so far, about 3 min to go"  # 3.5 of 2.5
    clock.finish(TRAIN)
    assert clock.done == 5
    assert clock.report() == "5 min 00 s so far, about 1 min to go"
    clock.finish(PREDICT)
    assert clock.report() == "6 min 00 s so far"


def test_a_short_step_tells_nothing_about_the_pace():
    times = iter([0.0, 3.0])
    small = Step("small", "", "", cost=0.2)
    clock = Clock([small, TRAIN], now=lambda: next(times))
    clock.finish(small)
    assert clock.report() == "0 min 03 s so far"
