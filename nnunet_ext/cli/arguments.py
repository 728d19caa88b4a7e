"""nnU-Net's way of giving several values to one flag (``-c 2d 3d_fullres``), which click does not have."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def repeat_flags(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """Write ``-c a b`` as ``-c a -c b`` for the given flags.

    Parameters
    ----------
    arguments : sequence of str
        The command line after the program's name.
    flags : collection of str
        Options that may be followed by several values, up to the next word that begins with a dash.

    Examples
    --------
    >>> repeat_flags(["-d", "1", "-c", "2d", "3d_fullres", "--batch", "2"], {"-c"})
    ['-d', '1', '-c', '2d', '-c', '3d_fullres', '--batch', '2']
    """
    result: list[str] = []
    flag, values = "", 0
    for word in arguments:
        if word.startswith("-"):
            flag, values = (word, 0) if word in flags else ("", 0)
        elif flag:
            if values:
                result.append(flag)
            values += 1
        result.append(word)
    return result
