"""Which families and options a wrong trainer name was probably meant to have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

PREFIX = "nnUNetTrainer"  # what every family's name begins with
_ALIKE = 0.7  # of two words, from 0 to 1: "sncp" and "scnp" are 0.75
_BETWEEN = re.compile(r"[_+\s]|-(?=[A-Za-z])")  # "adam1e-4" is one word


def words_of(name: str, families: Iterable[str]) -> tuple[list[str], list[str]]:
    """Take a trainer name apart, whatever the order and the case of its words.

    Parameters
    ----------
    name : str
        As it was typed.
    families : iterable of str
        Words that stand for families, such as ``"SCNP"``.

    Returns
    -------
    families, options : list of str
        The families that the name has in it, spelt rightly, and its other words as they are. No family if
        the name is nothing like one of ours.

    Examples
    --------
    >>> words_of("nnUNetTrainerSNCP_jc_w5", ["SCNP", "JC"])
    (['SCNP', 'JC'], ['w5'])
    """
    known = {family.lower(): family for family in families}
    has_prefix = name.lower().startswith(PREFIX.lower())
    words = [word for word in _BETWEEN.split(name[len(PREFIX) if has_prefix else 0 :]) if word]
    found = [known[word.lower()] for word in words if word.lower() in known]
    options = [word for word in words if word.lower() not in known]
    if options and options[0] == words[0]:
        family, rest = _misspelt_family(words[0], known, has_prefix)
        if family:
            return [family, *found], [*filter(None, [rest]), *options[1:]]
        return ([], options) if has_prefix else (found, options)
    return found, options


def _misspelt_family(word: str, known: dict[str, str], has_prefix: bool) -> tuple[str, str]:
    """The family that a word begins or ends with or is nearly, and what is left of it; both may be empty.

    Without our prefix it may be somebody else's trainer: fewer words are taken for a family then.
    """
    lower = word.lower()
    begun = max((each for each in known if lower.startswith(each)), key=len, default="")
    if begun and has_prefix:
        return known[begun], word[len(begun) :]
    ends = [each for each in known if each.endswith(lower) and len(lower) > 2]
    alike = [each for each in known if has_prefix or abs(len(each) - len(lower)) < 2]
    close = ends or difflib.get_close_matches(lower, alike, n=1, cutoff=_ALIKE)
    return (known[close[0]], "") if close else ("", "")
