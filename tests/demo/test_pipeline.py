from time import monotonic

import pytest
from typer.testing import CliRunner

from nnunet_ext import commands
from nnunet_ext.cli.app import app
from nnunet_ext.demo import pipeline
from nnunet_ext.demo.pipeline import Demo, Step
from nnunet_ext.errors import UserError


@pytest.fixture
def demo(tmp_path):
    return Demo(tmp_path / "a folder", "cpu")


def test_a_failed_step_shows_the_end_of_its_log_and_is_run_again(demo):
    step = Step("bad", "break it", "python -c", ("import sys; print('the reason'); sys.exit(3)",))
    with pytest.raises(UserError, match=r"'break it' failed with exit code 3(?s:.*)the reason"):
        demo.run(step)
    assert not (demo.folder / "logs" / "bad.txt").exists()
    demo.run(Step("bad", "fix it", "python -c", ("print('fine')",)))
    assert (demo.folder / "logs" / "bad.txt").read_text() == "$ python -c 'print('\"'\"'fine'\"'\"')'\nfine\n"


def test_a_done_step_is_not_repeated(demo):
    touch = demo.folder / "count"
    step = Step("once", "", "python -c", (f"open({str(touch)!r}, 'a').write('x')",))
    demo.run(step)
    demo.run(step)
    assert touch.read_text() == "x"
    demo.run(Step("once", "", "python -B -c", step.paths))  # another command, such as another device
    assert touch.read_text() == "xx"


EPOCHS = """
import time
for i in range(3):
    print(f"2026-01-01 00:00:00: Epoch time: {i}.5 s", flush=True)
    time.sleep(0.7)
"""


@pytest.mark.slow
def test_every_epoch_is_told_while_the_command_runs(demo, monkeypatch):
    monkeypatch.setattr(commands, "_LOOK_EVERY", 0.05)
    told = []
    demo.run(
        Step("train", "train", "python -c", (EPOCHS,), epochs=3),
        lambda done: told.append((done, monotonic())),
    )
    assert [done for done, _ in told] == [1, 2, 3]
    assert told[2][1] - told[0][1] > 0.7


@pytest.mark.slow
def test_an_interruption_ends_the_command(demo, monkeypatch):
    def interrupt(done):
        raise KeyboardInterrupt

    begin = monotonic()
    with pytest.raises(KeyboardInterrupt):
        demo.run(Step("train", "train", "python -c", (EPOCHS + "\ntime.sleep(60)",)), interrupt)
    assert monotonic() - begin < 20
    assert not demo.is_done(Step("train", "train", "python -c"))


def test_threads_wait_quietly_unless_the_user_says_otherwise(demo, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert demo.environment()["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert demo.environment()["OMP_WAIT_POLICY"] == "active"


def test_nothing_leaves_the_folder(demo):
    environment = demo.environment()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        assert environment[name] == str(demo.folder / name)


def test_missing_program(demo):
    with pytest.raises(UserError, match="nothing_like_it was not found"):
        demo.run(Step("x", "x", "nothing_like_it"))


def test_wrong_device(tmp_path):
    result = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "d"), "-device", "gpu"])
    assert isinstance(result.exception, UserError)
    assert not (tmp_path / "d").exists()


def test_both_trainings_are_equally_long():
    assert pipeline.BASELINE.removeprefix("nnUNetTrainerExt") == pipeline.LENGTH
    assert pipeline.SCNP.removeprefix("nnUNetTrainerSCNP_joint") == pipeline.LENGTH


def test_the_epochs_announced_are_those_trained(demo):
    trainings = [step for step in demo.steps() if step.name.startswith("train")]
    assert [f"_{step.epochs}epochs_" in step.command for step in trainings] == [True, True]
