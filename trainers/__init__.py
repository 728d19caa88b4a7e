"""The trainers, picked by name: ``nnUNetv2_train … -tr nnUNetTrainer<Family>[_<option>]…``.

``nnUNetTrainer<Wrapper>_<Family>[_<option>]…``, such as ``nnUNetTrainerSCNP_JC``, puts one family on another.
A family is imported when it is asked for. Any attribute of this module that names a family with options is
made on the spot: ``from nnunet_ext.trainers import nnUNetTrainerSCNP_w5_joint`` works.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnunet_ext.training.trainer import ExtTrainer

# Family -> the module here that declares it; also the order of the catalogue.
FAMILIES = {
    "nnUNetTrainerExt": "ext",
    "nnUNetTrainerSCNP": "scnp",
    "nnUNetTrainerJC": "jc",
    "nnUNetTrainerBWM": "weight_maps",
    "nnUNetTrainerUNetWM": "weight_maps",
    "nnUNetTrainerDWM": "weight_maps",
    "nnUNetTrainerSAW": "weight_maps",
    "nnUNetTrainerWeighted": "weight_maps",
    "nnUNetTrainerMultiLevelSSE": "multilevel",
    "nnUNetTrainerMultiLevelMCE": "multilevel",
    "nnUNetTrainerMultiLevelNCE": "multilevel",
}


def family_of(name: str) -> str | None:
    """The family that a trainer name belongs to: the name itself or what its first options follow."""
    return next((f for f in FAMILIES if name == f or name.startswith(f + "_")), None)


def near_miss(name: str) -> str | None:
    """The family that a name of none was probably meant to be, such as ``nnUNetTrainerscnp_w5``."""
    plain = name.lower().replace("_", "")
    return next((f for f in reversed(FAMILIES) if plain.startswith(f.lower())), None)


@cache
def get_trainer(name: str) -> type[ExtTrainer]:
    """The trainer class of a name; the same class each time.

    Raises
    ------
    UserError
        If the family is not one of ours, or an option is wrong; the text lists what there is.
    """
    from nnunet_ext.errors import UserError
    from nnunet_ext.training.names import PREFIX, build_trainer, wrap_family

    family = family_of(name)
    if family is None:
        raise UserError(f"{name}: no such trainer family. Known families: {', '.join(FAMILIES)}.")
    trainer = getattr(import_module(f"{__name__}.{FAMILIES[family]}"), family)
    first = name.removeprefix(family).removeprefix("_").partition("_")[0]
    wrapped = f"{family}_{first}"
    if PREFIX + first not in FAMILIES:
        others = [other.removeprefix(PREFIX) for other in FAMILIES] if trainer.wraps_families else []
        return build_trainer(name, trainer, __name__, others)
    if name == wrapped:
        return wrap_family(trainer, get_trainer(PREFIX + first), __name__)
    return build_trainer(name, get_trainer(wrapped), __name__)


def __getattr__(name: str) -> type[ExtTrainer]:
    if family_of(name) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nnunet_ext.training.names import spelled

    return get_trainer(spelled(name))
