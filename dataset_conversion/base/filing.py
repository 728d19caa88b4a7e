"""Files by what they are of. ``a.jpg`` and ``a.jpeg`` cannot both be the picture of case a: that is said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class FilesByKey(Generic[Key]):
    """One file per key; where there are several, none is taken over the others without a word.

    Parameters
    ----------
    found : iterable of (key, Path)
        The files, each with what it is of, such as ("mask", "12"). The same path may come again.

    Examples
    --------
    >>> files = FilesByKey([("a", Path("a.jpg")), ("b", Path("b.jpg")), ("a", Path("a.jpeg"))])
    >>> sorted(files), files.get("b", Path()).name, files.get("c", Path("c.jpg")).name
    (['a', 'b'], 'b.jpg', 'c.jpg')
    >>> files.wrong("a", "b", "c")
    ('a.jpeg, a.jpg: one file is expected. Keep one of them',)
    """

    def __init__(self, found: Iterable[tuple[Key, Path]]) -> None:
        files: dict[Key, set[Path]] = defaultdict(set)
        for key, path in found:
            files[key].add(path)
        self._files = {key: sorted(paths) for key, paths in files.items()}

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys that have a file."""
        return iter(self._files)

    def get(self, key: Key, expected: Path) -> Path:
        """Return the file, the first of several; without one `expected`, as it is missing there."""
        return self._files.get(key, [expected])[0]

    def wrong(self, *keys: Key) -> tuple[str, ...]:
        """Return a line for each key that has several files, for `Case.wrong`."""
        several = (self._files[key] for key in keys if len(self._files.get(key, ())) > 1)
        return tuple(
            f"{', '.join(map(str, files))}: one file is expected. Keep one of them" for files in several
        )
