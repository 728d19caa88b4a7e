"""What a person may tune, by the name of the map."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from nnunet_ext.targets.weight_maps.balance import class_balance
from nnunet_ext.targets.weight_maps.distance import distance
from nnunet_ext.targets.weight_maps.shape_aware import shape_aware
from nnunet_ext.targets.weight_maps.unet import unet

_TUNED: dict[Callable[..., Any], tuple[str, ...]] = {
    class_balance: (),
    unet: ("w0", "sigma"),
    distance: ("beta",),
    shape_aware: ("sigma", "tau"),
}


def default_parameters(name: str) -> dict[str, float | None]:
    """Defaults of the numbers that shape a map; pass them on by keyword.

    Parameters
    ----------
    name : str
        "class_balance", "unet", "distance" or "shape_aware".

    Raises
    ------
    ValueError
        If there is no map of that name.

    Examples
    --------
    >>> default_parameters("unet")
    {'w0': 10.0, 'sigma': 5.0}
    """
    for function, tuned in _TUNED.items():
        if function.__name__ == name:
            known = signature(function).parameters
            return {parameter: known[parameter].default for parameter in tuned}
    raise ValueError(f"weight maps are {', '.join(f.__name__ for f in _TUNED)}; got {name!r}")
