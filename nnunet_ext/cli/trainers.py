"""``nnunet_ext trainers``: the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from nnunet_ext.cli.console import err, out, say_command

if TYPE_CHECKING:
    from nnunet_ext.training.options import Option
    from nnunet_ext.training.trainer import ExtTrainer


def trainers() -> None:
    """List the trainers with their options.

    A trainer's name is a family and any of its options, in any order: nnUNetTrainerSCNP_w5_50epochs. SCNP
    takes another family, too, directly after its name: nnUNetTrainerSCNP_JC_w5.

    Example: nnUNetv2_train 501 2d 0 -tr nnUNetTrainerSCNP_w5_50epochs
    """
    with err.status("loading nnU-Net …"):
        from nnunet_ext.trainers import FAMILIES, get_trainer, wrapped_by
        from nnunet_ext.training.device import device_option
        from nnunet_ext.training.options import COMMON

        families = [get_trainer(name) for name in FAMILIES]
    table = Table("family", "what it trains with", "options of its own", show_lines=True)
    for family in families:
        own = "\n".join(_describe(option, family) for option in family.options) or "–"
        table.add_row(family.__name__, (family.__doc__ or "").strip().splitlines()[0], own)
    out.print(table)
    out.print("Every family also takes:")
    common = Table.grid(padding=(0, 2))
    for option in COMMON:
        common.add_row(f"  _{option.syntax}", option.description)
    out.print(common)
    wrapper = next(family for family in families if family.wraps_families)
    out.print(
        f"{wrapper.__name__} also takes another family, with the options of both, directly after its name: "
        f"{', '.join(f'{wrapper.__name__}_{word}' for word in wrapped_by(wrapper))}."
    )
    out.print("The name decides the results folder: keep to one order of the options.")
    example = ("nnUNetv2_train", 501, "2d", 0, "-tr", "nnUNetTrainerSCNP_w5_50epochs", *device_option())
    say_command(*example, label="Example")


def _describe(option: Option, family: type[ExtTrainer]) -> str:
    """An option with its default in the family, if it has a number and that one."""
    default = getattr(family, option.attribute)
    return f"{option}, default {default}" if option.allowed and default is not None else str(option)
