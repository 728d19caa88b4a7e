"""A checkpoint is written whole or not at all."""

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_ext.trainers import nnUNetTrainerExt


@pytest.fixture
def trainer():
    trainer = object.__new__(nnUNetTrainerExt)
    trainer.local_rank, trainer.disable_checkpointing = 0, False
    return trainer


def test_an_interruption_leaves_the_checkpoint_before(trainer, tmp_path, monkeypatch):
    file = tmp_path / "checkpoint_latest.pth"
    file.write_text("before")

    def interrupted(self, filename):
        with open(filename, "w") as stream:
            stream.write("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(nnUNetTrainer, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(str(file))
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_whole_one_replaces_it(trainer, tmp_path, monkeypatch):
    def write(self, filename):
        with open(filename, "w") as stream:
            stream.write("after")

    monkeypatch.setattr(nnUNetTrainer, "save_checkpoint", write)
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["after"]


@pytest.mark.parametrize(("rank", "disabled"), [(1, False), (0, True)])
def test_where_nnunet_writes_none_there_is_none(trainer, tmp_path, capsys, rank, disabled):
    trainer.local_rank, trainer.disable_checkpointing = rank, disabled
    trainer.print_to_log_file = print
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert list(tmp_path.iterdir()) == []
