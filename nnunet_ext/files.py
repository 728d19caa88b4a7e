"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from nnunet_ext.errors import UserError


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write text files under temporary names, then rename them: no reader ever sees half of one.

    Parameters
    ----------
    texts : mapping
        File -> content (UTF-8). Missing folders are made; existing files are replaced.

    Raises
    ------
    UserError
        If a file cannot be written. No file is then half-written and no temporary one left, but of
        several some may have been replaced already.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_text(text, encoding="utf-8")
        for path in texts:
            os.replace(temporary[path], path)
    except OSError as error:
        raise UserError(f"Cannot write {', '.join(map(str, texts))}: {error.strerror}") from error
    finally:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
