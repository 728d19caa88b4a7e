"""The trainer printed in docs/writing_a_trainer.md does what the page says."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from nnunet_ext.losses import SCNPLoss
from nnunet_ext.trainers import FAMILIES
from nnunet_ext.training.names import Catalogue

PAGE = Path(__file__).parents[2] / "docs" / "writing_a_trainer.md"


@pytest.fixture
def catalogue(monkeypatch):
    """The catalogue with the family of the page, whose two files are imported from there."""
    printed = re.findall(r"```python\n(# (\S+)\.py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [path for _, path in printed] == ["nnunet_ext/losses/generalized", "trainers/generalized"]
    for code, path in printed:
        name = f"nnunet_ext.{path.removeprefix('nnunet_ext/').replace('/', '.')}"
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(code, module.__dict__)
    return Catalogue("nnunet_ext.trainers", {**FAMILIES, "nnUNetTrainerGCE": "generalized"})


def loss_of(trainer, regions, ignore_label):
    made = object.__new__(trainer)
    made.label_manager = SimpleNamespace(has_regions=regions, ignore_label=ignore_label)
    return made.build_loss(torch.nn.Identity())


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_the_printed_trainer(regions, catalogue):
    trainer = catalogue.get("nnUNetTrainerGCE_q0.5_50epochs")
    assert (trainer.q, trainer.epochs, trainer.same_as) == (0.5, 50, "")
    assert catalogue.get("nnUNetTrainerGCE_q0.7").same_as == "nnUNetTrainerGCE"
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 2, 6, 6, requires_grad=True), torch.randint(0, 3, (2, 1, 6, 6))
    if regions:  # the last channel marks what is ignored
        target = torch.cat([labels > 0, labels > 1, labels == 0], 1)
        right = torch.where(target[:, :2], logits.sigmoid(), 1 - logits.sigmoid()).prod(1).sqrt()
        counted = ~target[:, 2]
    else:
        target, counted = labels, labels[:, 0] < 2
        right = logits.softmax(1).gather(1, labels.clamp(max=1))[:, 0]
    expected = ((1 - right**0.5) / 0.5)[counted].mean()
    loss = loss_of(trainer, regions, 2)(logits, target)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad.abs().sum() > 0
    combined = loss_of(catalogue.get("nnUNetTrainerSCNP_GCE_q0.5_w5"), regions, 2)
    assert isinstance(combined, SCNPLoss)
    assert combined.base_loss.q == 0.5
    assert torch.isfinite(combined(logits, target))
