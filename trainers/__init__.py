"""The trainers, picked by name: ``nnUNetv2_train … -tr nnUNetTrainer<Family>[_<option>]…``.

``nnUNetTrainer<Wrapper>_<Family>[_<option>]…``, such as ``nnUNetTrainerSCNP_JC``, puts one family on another.
A family is imported when it is asked for. Any attribute of this module that names a family with options is
made on the spot: ``from nnunet_ext.trainers import nnUNetTrainerSCNP_w5_joint`` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnunet_ext.training.names import Catalogue, decode_qualname

if TYPE_CHECKING:
    from nnunet_ext.training.trainer import ExtTrainer

# Family -> the module here that declares it; also the order of the catalogue.
FAMILIES = {
    "nnUNetTrainerExt": "ext",
    "nnUNetTrainerAttentionUNet": "ext",
    "nnUNetTrainerSCNP": "scnp",
    "nnUNetTrainerJC": "jc",
    "nnUNetTrainerBWM": "weight_maps",
    "nnUNetTrainerUNetWM": "weight_maps",
    "nnUNetTrainerDWM": "weight_maps",
    "nnUNetTrainerSAW": "weight_maps",
    "nnUNetTrainerWeighted": "weight_maps",
    "nnUNetTrainerCE": "voxelwise",
    "nnUNetTrainerFocal": "voxelwise",
    "nnUNetTrainerRegionWise": "voxelwise",
    "nnUNetTrainerDice": "overlap",
    "nnUNetTrainerTversky": "overlap",
    "nnUNetTrainerClDice": "center_lines",
    "nnUNetTrainerCenterlineCE": "center_lines",
    "nnUNetTrainerSkelRecall": "center_lines",
    "nnUNetTrainerTopo": "topology",
    "nnUNetTrainerMultiLevelSSE": "multilevel",
    "nnUNetTrainerMultiLevelMCE": "multilevel",
    "nnUNetTrainerMultiLevelNCE": "multilevel",
}

_CATALOGUE = Catalogue(__name__, FAMILIES)
family_of = _CATALOGUE.family_of
near_miss = _CATALOGUE.near_miss
wrapped_by = _CATALOGUE.wrapped_by
get_trainer = _CATALOGUE.get


def __getattr__(name: str) -> type[ExtTrainer]:
    if family_of(name) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return get_trainer(decode_qualname(name))
