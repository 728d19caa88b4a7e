"""``nnunet_ext small-plans``: plans that train on a laptop."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from nnunet_ext.cli.console import out, say, say_command

_FIRST_TRAINER = "nnUNetTrainerExt_10epochs_150iters"


def small_plans(
    dataset: Annotated[str, typer.Option("-d", help="Dataset id or name, planned and preprocessed.")],
    configurations: Annotated[
        list[str] | None,
        typer.Option("-c", help="Configurations to shrink, e.g. -c 2d 3d_fullres. All if left out."),
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(min=16, help="Largest patch edge in voxels. 128 in 2D, 64 in 3D if left out."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Largest batch. 4 in 2D, 2 in 3D if left out.")
    ] = None,
    features: Annotated[int, typer.Option(min=1, help="Feature maps of the first stage.")] = 8,
    plans: Annotated[str, typer.Option("-p", help="The plans to start from.")] = "nnUNetPlans",
    name: Annotated[str, typer.Option(help="The plans to write.")] = "nnUNetPlansSmall",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace plans of that name with other settings.")
    ] = False,
) -> None:
    """Write nnUNetPlansSmall.json beside the planned ones: smaller patch, batch and network.

    No preprocessing is repeated. For trying things out, tests and machines without a GPU; results are not
    comparable with those of the full plans.

    Example: nnunet_ext small-plans -d 501 -c 2d; it ends with the command that trains with them.
    """
    from nnunet_ext.nnunet_files.plans import write_small_plans

    path, small = write_small_plans(
        dataset, configurations or (), patch, batch, features, plans, name, overwrite
    )
    table = Table("configuration", "patch", "batch", "features per stage")
    for configuration, content in small["configurations"].items():
        features_per_stage = content["architecture"]["arch_kwargs"]["features_per_stage"]
        shape = " × ".join(map(str, content["patch_size"]))
        table.add_row(
            configuration, shape, str(content["batch_size"]), " ".join(map(str, features_per_stage))
        )
    say(f"Written: {path}")
    out.print(table)
    from nnunet_ext.training.device import device_option

    say("A first short training ('nnunet_ext trainers' lists others for -tr; 0 is the fold):")
    for configuration, content in small["configurations"].items():
        if "previous_stage" in content:
            say(f"of {configuration}, after folds 0 to 4 of {content['previous_stage']}:")
        chosen = ("-p", small["plans_name"], "-tr", _FIRST_TRAINER, *device_option())
        say_command("nnUNetv2_train", dataset, configuration, 0, *chosen, label="")
