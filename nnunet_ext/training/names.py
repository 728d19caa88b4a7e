"""From a trainer's name to its class: a family, perhaps one it wraps, then options joined by underscores."""

from __future__ import annotations

from collections.abc import Iterable

from nnunet_ext.errors import UserError
from nnunet_ext.training.options import parse_options
from nnunet_ext.training.trainer import ExtTrainer

PREFIX = "nnUNetTrainer"  # what every family's name begins with

# A class is pickled by its qualified name, which pickle takes apart at every dot.
_DOT_IN_QUALNAME = "·"


def spelled(name: str) -> str:
    """The trainer name behind a qualified name that pickle asks for."""
    return name.replace(_DOT_IN_QUALNAME, ".")


def wrap_family(wrapper: type[ExtTrainer], base: type[ExtTrainer], module: str) -> type[ExtTrainer]:
    """Make the family of a wrapper on a base, such as SCNP on JC: ``nnUNetTrainerSCNP_JC``.

    Parameters
    ----------
    wrapper : type
        A family that sets `wraps_families`.
    base : type
        The family whose loss it wraps, and whose other hooks it takes over.
    module : str
        As in `build_trainer`.

    Returns
    -------
    type
        A subclass of both, with the options of both.

    Raises
    ------
    UserError
        If `wrapper` wraps no families, or `base` is nnU-Net's own loss, a wrapper itself or says why not.
    """
    word = _word(base)
    name = f"{wrapper.__name__}_{word}"
    if not wrapper.wraps_families:
        raise UserError(f"{name}: {wrapper.__name__} cannot be combined with {word}.")
    if base.refuses_wrapping:
        raise UserError(f"{name}: {wrapper.__name__} cannot wrap {word}: {base.refuses_wrapping}.")
    if base.wraps_families or base.build_loss is ExtTrainer.build_loss:
        raise UserError(
            f"{name}: {wrapper.__name__} cannot wrap {word}. On nnU-Net's own loss it is {wrapper.__name__}."
        )
    summary = f"{_summary(base)[:-1]}; on the logits of {_word(wrapper)}."
    options = (*wrapper.options, *base.options)
    return type(name, (wrapper, base), {"options": options, "__module__": module, "__doc__": summary})


def build_trainer(
    name: str, family: type[ExtTrainer], module: str, families: Iterable[str] = ()
) -> type[ExtTrainer]:
    """Make the trainer class of a name such as ``nnUNetTrainerSCNP_w5_joint``.

    Parameters
    ----------
    name : str
        The family's class name, then its options, each after an underscore.
    family : type
        The trainer that the name begins with.
    module : str
        The importable module through which the class can be found again by its name, for pickling.
    families : iterable of str
        Words that `family`, if it wraps others, takes directly after its name; for the error text.

    Returns
    -------
    type
        `family` itself if the name has no options, else a subclass called `name` with the options' values
        as class attributes.

    Raises
    ------
    UserError
        If an option is unknown, empty, repeated or out of range.
    """
    if name == family.__name__:
        return family
    words = name.removeprefix(family.__name__ + "_").split("_")
    if "" in words:
        # nnU-Net splits its folder names at double underscores.
        raise UserError(f"{name}: options are joined by single underscores, none at the end.")
    try:
        values = parse_options(name, words, family.all_options())
    except UserError as error:
        first = ", ".join(f"_{word}" for word in families)
        raise UserError(
            f"{error}\nDirectly after {family.__name__}: {first}" if first else str(error)
        ) from None
    qualname = name.replace(".", _DOT_IN_QUALNAME)
    attributes = {**values, "__module__": module, "__qualname__": qualname, "__doc__": family.__doc__}
    return type(name, (family,), attributes)


def _word(family: type[ExtTrainer]) -> str:
    return family.__name__.removeprefix(PREFIX)


def _summary(family: type[ExtTrainer]) -> str:
    return (family.__doc__ or "").strip().splitlines()[0]
