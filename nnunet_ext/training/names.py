"""From a trainer's name to its class: a family, then options joined by underscores."""

from __future__ import annotations

from nnunet_ext.errors import UserError
from nnunet_ext.training.options import parse_options
from nnunet_ext.training.trainer import ExtTrainer


def build_trainer(name: str, family: type[ExtTrainer], module: str) -> type[ExtTrainer]:
    """Make the trainer class of a name such as ``nnUNetTrainerSCNP_w5_joint``.

    Parameters
    ----------
    name : str
        The family's class name, then its options, each after an underscore.
    family : type
        The trainer that the name begins with.
    module : str
        The importable module through which the class can be found again by its name, for pickling.

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
    values = parse_options(name, words, family.all_options())
    return type(name, (family,), {**values, "__module__": module, "__doc__": family.__doc__})
