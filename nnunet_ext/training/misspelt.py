"""Which families and options a wrong trainer name was probably meant to have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

PREFIX = "nnUNetTrainer"  # what every family's name begins with
_ALIKE = 0.7  # of two words, from 0 to 1: "sncp" and "scnp" are 0.75


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
    words = [word for word in name[len(PREFIX) if has_prefix else 0 :].split("_") if word]
    found = [known[word.lower()] for word in words if word.lower() in known]
    options = [word for word in words if word.lower() not in known]
    if has_prefix and options and options[0] == words[0]:
        family, rest = _misspelt_family(words[0], known)
        if family:
            return [family, *found], [*filter(None, [rest]), *options[1:]]
        return [], options
    return found, options


def _misspelt_family(word: str, known: dict[str, str]) -> tuple[str, str]:
    """The family that a word begins with or is nearly, and what is left of the word; both may be empty."""
    lower = word.lower()
    begun = max((each for each in known if lower.startswith(each)), key=len, default="")
    if begun:
        return known[begun], word[len(begun) :]
    close = difflib.get_close_matches(lower, known, n=1, cutoff=_ALIKE)
    return (known[close[0]], "") if close else ("", "")
