"""Names that look like markup, options, patterns or formulas, as the verbs print them."""

import json
import shutil

import numpy as np
import pytest
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.images.instance_files import write_instances

NASTY = ("[red]x", "[bold]", "[link=a]b", ":smile:", "$a$", "a b", "*", "-o", "it's", "a\u0308")


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.exception
    return result.output


@pytest.mark.parametrize("name", NASTY)
def test_evaluate_and_compare(tmp_path, name):
    """Folders close what the names open: ``[red]x[/]``."""
    folder = tmp_path / f"{name}[/]"
    labels = np.zeros((12, 12), np.uint8)
    labels[2:5, 2:5] = 1
    for kind in ("ref", "pred"):
        (folder / kind).mkdir(parents=True)
        io.imsave(folder / kind / "good.png", labels, check_contrast=False)
        shutil.copy(folder / kind / "good.png", folder / kind / f"{name}.png")
        write_instances(folder / f"instances {kind}" / f"{name}.tif", labels.astype(np.uint16))
    content = {"channel_names": {"0": "x"}, "labels": {"background": 0, name: 1}, "file_ending": ".png"}
    (folder / "pred/dataset.json").write_text(json.dumps({**content, "numTraining": 1}))
    printed = run("evaluate", "-ref", folder / "ref", "-pred", folder / "pred")
    assert f"{name} 1 " in printed
    assert f"Wrote {folder / 'pred/evaluation.json'}\n" in printed
    printed = run(
        "evaluate", "--instances", "-ref", folder / "instances ref", "-pred", folder / "instances pred"
    )
    assert f"Wrote {folder / 'instances pred/evaluation.csv'}\n" in printed
    a = folder / "pred/evaluation.json"
    printed = run("compare", a, a, "-o", folder / "c.csv")
    assert f"A = {a}\n" in printed
    assert f" {name} 1 " in printed
