"""``nnunet_ext figure``: the file it writes, what it prints, and what it refuses."""

import json

import numpy as np
import pytest
from skimage.io import imread, imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.cli.figure import in_inches
from nnunet_ext.cli.named_folders import named_folders
from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import write_instances


def draw(*words):
    return CliRunner().invoke(app, ["figure", *map(str, words)], catch_exceptions=True)


def refused(*words):
    result = draw(*words)
    assert isinstance(result.exception, UserError), result.exception
    return str(result.exception)


@pytest.fixture
def lines(tmp_path):
    """A line, whole and broken, in two cases."""
    root = tmp_path / "data"
    for folder in ("labelsTs", "ext", "scnp", "imagesTs"):
        (root / folder).mkdir(parents=True)
    content = {"labels": {"background": 0, "vessel": 1}, "file_ending": ".png", "channel_names": {"0": "x"}}
    (root / "dataset.json").write_text(json.dumps(content))
    whole = np.zeros((20, 40), np.uint8)
    whole[8:12, 4:36] = 1
    broken = whole.copy()
    broken[:, 18:21] = 0
    for case in ("a", "b"):
        for folder, array in (("labelsTs", whole), ("ext", broken), ("scnp", whole)):
            imsave(root / folder / f"{case}.png", array, check_contrast=False)
        imsave(root / "imagesTs" / f"{case}_0000.png", whole * 99, check_contrast=False)
    return root


def options(root, *cases, pred=("Ext=ext", "SCNP=scnp")):
    words = [word.replace("=", f"={root}/") if "=" in word else root / word for word in pred]
    return ["-ref", root / "labelsTs", "-pred", *words, "-i", root / "imagesTs", "--case", *cases]


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_a_picture_of_two_cases_and_a_table_of_their_mistakes(lines, tmp_path, ending):
    output = tmp_path / "new" / f"figure.{ending}"
    result = draw(*options(lines, "a", "b"), "-o", output, "--width", "89mm", "--dpi", 100)
    assert result.exit_code == 0, result.output
    rows = [line.replace("│", " ").split() for line in result.output.splitlines()]
    assert ["a", "Ext", "0", "0", "1", "0"] in rows
    assert ["b", "SCNP", "0", "0", "0", "0"] in rows
    assert f"Wrote {output}" in result.output
    if ending == "png":
        assert imread(output).shape[1] == 350
    if ending == "svg":
        text = output.read_text(encoding="utf-8")
        assert "1 break" in text
        assert ">vessel<" in text
        assert 'width="252' in text  # points


def test_instances(tmp_path):
    for folder, ids in (("instancesTs", [[1, 1, 0, 2, 2]]), ("cells", [[1, 1, 0, 0, 0]])):
        (tmp_path / folder).mkdir()
        write_instances(
            tmp_path / folder / "a.tif", np.kron(np.array(ids, np.uint16), np.ones((4, 4), np.uint16))
        )
    words = ["-ref", tmp_path / "instancesTs", "-pred", tmp_path / "cells", "--case", "a", "--instances"]
    result = draw(*words, "-o", tmp_path / "x.png", "--dpi", 50)
    assert result.exit_code == 0, result.output
    rows = [line.replace("│", " ").split() for line in result.output.splitlines()]
    assert ["a", "cells", "1", "1", "0", "0", "0"] in rows
    assert "--iou: expected" in refused(*words, "-o", tmp_path / "y.png", "--iou", 1.5)
    assert not (tmp_path / "y.png").exists()


def test_mistakes_are_sentences_and_nothing_is_written(lines, tmp_path):
    output = tmp_path / "figure.pdf"
    good = [*options(lines, "a"), "-o", output]
    assert "labelsTs has no case c. It has: a, b." in refused(*options(lines, "a", "c"), "-o", output)
    assert "a picture ends in one of" in refused(*good[:-1], tmp_path / "figure.doc")
    assert "--width 89: expected a number with its unit" in refused(*good, "--width", "89")
    assert "--iou is about instances" in refused(*good, "--iou", 0.3)
    assert "--ignored is about instances" in refused(*good, "--ignored", lines)
    assert "connectivity: expected 1 to 2 in 2D, got 3" in refused(*good, "--connectivity", 3)
    assert "holds instances" in refused(*good, "--instances") or "not instances" in refused(
        *good, "--instances"
    )
    assert "no folder" in refused(*options(lines, "a", pred=("Ext=nowhere",)), "-o", output)
    (lines / "scnp" / "a.png").write_bytes(b"no picture")
    assert "scnp/a.png" in refused(*good)
    assert not output.exists()
    assert draw("-ref", lines, "-pred", lines, "-o", output).exit_code == 2  # without --case


def test_names_of_folders(tmp_path):
    (tmp_path / "w=3").mkdir()
    assert list(named_folders([str(tmp_path / "w=3"), "Ext=runs/w=5"])) == ["w=3", "Ext"]
    assert str(named_folders(["Ext=runs/w=5"])["Ext"]) == "runs/w=5"
    for words, match in (
        (["=x"], "expected NAME=FOLDER"),
        (["a="], "expected NAME"),
        (["a/x", "b/x"], "too"),
    ):
        with pytest.raises(UserError, match=match):
            named_folders(words)


@pytest.mark.parametrize("width", ["", "mm", "89", "-3cm", "1e3mm", "0mm", "nanmm", "9000cm"])
def test_widths_that_are_none(width):
    with pytest.raises(UserError, match="expected"):
        in_inches(width)
