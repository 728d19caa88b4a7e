"""Files by what they are of."""

from pathlib import Path

from nnunet_ext.dataset_conversion import FilesByKey


def test_a_second_file_is_named_with_the_first() -> None:
    files = FilesByKey([(1, Path("x/b.png")), (1, Path("x/a.png")), (2, Path("c.png")), (2, Path("c.png"))])
    assert set(files) == {1, 2}
    assert files.get(1, Path("no")) == Path("x/a.png")
    assert files.get(3, Path("wanted.png")) == Path("wanted.png")
    assert files.wrong(1, 2, 3) == ("x/a.png, x/b.png: one file is expected. Keep one of them",)
    assert files.wrong(2, 3) == ()
