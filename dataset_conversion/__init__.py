"""Converters of public datasets, and of your own images, to nnU-Net's raw format, one module each.

Everything that a converter is built from is imported from here, too (`Case`, `Converter`, `find_folder`, ...;
the list is `base`). Importing this package loads neither a converter nor NumPy nor an imaging library: `load`
imports the converter asked for, and the other names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnunet_ext.errors import UserError

if TYPE_CHECKING:
    from nnunet_ext.dataset_conversion.base import *  # noqa: F403
    from nnunet_ext.dataset_conversion.base import Converter

#: name on the command line -> "module:class" inside this package
CATALOGUE: dict[str, str] = {
    "atlas2": "atlas2:Atlas2",
    "axons": "axons:Axons",
    "cirrmri600": "cirrmri600:CirrMRI600",
    "crack500": "crack500:Crack500",
    "ctc": "ctc.converter:Ctc",
    "deepgloberoads": "deepgloberoads:DeepGlobeRoads",
    "dsb2018": "dsb2018.converter:Dsb2018",
    "fives": "fives:Fives",
    "ihc_tma": "ihc_tma:IhcTma",
    "instances": "instances:Instances",
    "isles24": "isles24:Isles24",
    "lynsec": "lynsec:Lynsec",
    "meristem": "meristem:Meristem",
    "monuseg": "monuseg:MoNuSeg",
    "mslesseg": "mslesseg:MSLesSeg",
    "nuinsseg": "nuinsseg:NuInsSeg",
    "plantseg": "plantseg:PlantSeg",
    "postnatbrca": "post_nat_brca:PostNatBrca",
    "pulmonaryva": "pulmonaryva.converter:PulmonaryVA",
    "topomortar": "topomortar:TopoMortar",
}


def load(name: str) -> type[Converter]:
    """Return the converter class listed as `name` in `CATALOGUE`.

    Raises
    ------
    UserError
        If there is no such converter; the message lists those there are.
    """
    if name not in CATALOGUE:
        raise UserError(f"There is no converter called '{name}'. Known: {', '.join(sorted(CATALOGUE))}.")
    module, _, class_name = CATALOGUE[name].partition(":")
    converter: type[Converter] = getattr(import_module(f"{__name__}.{module}"), class_name)
    return converter


if not TYPE_CHECKING:  # a type checker would take every name for one of these

    def __getattr__(name: str) -> Any:
        if not name.startswith("_"):
            base = import_module(f"{__name__}.base")
            if name in base.__all__:
                return getattr(base, name)
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
