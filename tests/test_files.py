import errno

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.files import fingerprint, read_json, replacing, write_texts


def test_folders_are_made_and_files_replaced(tmp_path):
    (tmp_path / "a").write_text("old")
    write_texts({tmp_path / "a": "new β", tmp_path / "deep" / "er" / "b": "b"})
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new β"
    assert (tmp_path / "deep" / "er" / "b").read_text() == "b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "deep"]


@pytest.mark.parametrize("name", ["file/b", "x" * 300])
def test_what_cannot_be_written_is_named_and_nothing_is_left(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "a").write_text("old")
    with pytest.raises(UserError, match="Cannot write"):
        write_texts({tmp_path / "a": "new", tmp_path / name: "b"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file"]


def test_names_that_are_no_text_are_written_as_they_are(tmp_path):
    write_texts({tmp_path / "a.csv": "case,b\udce9.png\n"})
    assert (tmp_path / "a.csv").read_bytes() == b"case,b\xe9.png\n"


def test_fingerprint_is_size_and_time_of_the_last_change(tmp_path):
    file = tmp_path / "a"
    file.write_text("12345")
    size, changed = fingerprint(file)
    assert size == 5
    assert changed == file.stat().st_mtime_ns
    file.write_text("123456")
    assert fingerprint(file) != [size, changed]
    assert fingerprint(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON: maximum recursion"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "is not valid JSON: it names 'c' twice"),
        ("\ufeff{}", "is not valid JSON"),
        ('{"a": "1"}', 'a is "1"; expected a whole number'),
    ],
)
def test_json_that_cannot_be_used_is_an_error_with_the_remedy(tmp_path, text, problem):
    file = tmp_path / "a.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_json(file, "Make it anew.", dict[str, int])
    assert problem in str(error.value)
    assert str(error.value).startswith(str(file))
    assert str(error.value).endswith("Make it anew.")


def test_json_is_given_back_as_it_is(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"a": 1, "more": [1.5, null]}')
    assert read_json(file) == {"a": 1, "more": [1.5, None]}
    assert read_json(file, schema=dict[str, object]) == {"a": 1, "more": [1.5, None]}
    with pytest.raises(UserError, match="Cannot read"):
        read_json(tmp_path)


@pytest.mark.parametrize("words", [("No space left",), ("Read-only", "{temporary}")])
def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path, words):
    with pytest.raises(OSError, match=words[0]) as error, replacing(tmp_path / "a.png") as temporary:
        raise OSError(errno.ENOSPC, *(word.format(temporary=temporary) for word in words))
    assert error.value.filename == str(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "a.png"):
        raise OSError(errno.ENOENT, "No such file", "other.png")
    assert error.value.filename == "other.png"
    assert not list(tmp_path.iterdir())
