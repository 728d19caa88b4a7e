import pytest
from typer.testing import CliRunner

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
    assert (demo.folder / "logs" / "bad.txt").read_text() == "$ python -c\nfine\n"


def test_a_done_step_is_not_repeated(demo):
    touch = demo.folder / "count"
    step = Step("once", "", "python -c", (f"open({str(touch)!r}, 'a').write('x')",))
    demo.run(step)
    demo.run(step)
    assert touch.read_text() == "x"
    demo.run(Step("once", "", "python -B -c", step.paths))  # another command, such as another device
    assert touch.read_text() == "xx"


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
