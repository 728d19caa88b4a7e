import pytest

from nnunet_ext.errors import UserError, exit_on_ctrl_c, exit_on_user_error, on_nnunets_command_line


@pytest.mark.parametrize(
    ("program", "theirs"),
    [
        ("/bin/nnUNetv2_train", True),
        ("nnUNetv2_predict", True),
        ("/bin/nnunet_ext", False),
        ("pytest", False),
    ],
)
def test_who_is_told_by_a_message_and_who_by_the_error(program, theirs, monkeypatch):
    monkeypatch.setattr("sys.argv", [program])
    assert on_nnunets_command_line() == theirs
    with pytest.raises(SystemExit if theirs else UserError) as caught, exit_on_user_error():
        raise UserError("No such file.")
    assert str(caught.value) == ("Error: No such file." if theirs else "No such file.")


def test_other_errors_keep_their_traceback(monkeypatch):
    monkeypatch.setattr("sys.argv", ["nnUNetv2_train"])
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        _ = 1 / 0


@pytest.mark.parametrize("flags", [[], ["--c"]])
def test_ctrl_c_in_a_training_says_how_to_go_on(flags, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/bin/nnUNetv2_train", "501", "2d", "0", "-p", "my plans", *flags])
    with pytest.raises(SystemExit) as caught, exit_on_ctrl_c():
        raise KeyboardInterrupt
    assert caught.value.code == 130
    assert capsys.readouterr().err.endswith("\n  nnUNetv2_train 501 2d 0 -p 'my plans' --c\n")


def test_ctrl_c_elsewhere_is_not_touched(monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    with pytest.raises(KeyboardInterrupt), exit_on_ctrl_c():
        raise KeyboardInterrupt
