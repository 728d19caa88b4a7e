"""What nnU-Net's trainer finder imports: it asks this module for a class name, which the package answers.

nnU-Net drops modules found in an external folder from ``sys.modules``, after which their classes can no
longer be pickled. The classes therefore come from the installed package; this module only passes them on.
"""

import os
import sys


def __getattr__(name: str) -> type:
    try:
        from nnunet_ext.errors import UserError
        from nnunet_ext.trainers import family_of, get_trainer, near_miss
    except ModuleNotFoundError as error:
        # The variable was inherited by a Python without this package, which must find its own trainers.
        raise AttributeError(name) from error
    # On nnU-Net's command line a mistyped name deserves a sentence, not a traceback.
    on_command_line = os.path.basename(sys.argv[0]).startswith("nnUNetv2_")
    if family_of(name) is None:
        meant = near_miss(name)
        if meant and on_command_line and _searched_last():
            raise SystemExit(
                f"Error: there is no trainer {name}. Did you mean {meant}? Options follow the family's name, "
                "each after an underscore; 'nnunet_ext trainers' lists them."
            )
        raise AttributeError(name)
    try:
        return get_trainer(name)
    except UserError as error:
        if on_command_line:
            raise SystemExit(f"Error: {error}") from None
        raise


def _searched_last() -> bool:
    """Whether no other folder could still have the trainer."""
    folders = [folder for folder in os.environ.get("nnUNet_extTrainer", "").split(os.pathsep) if folder]
    return not folders or os.path.samefile(folders[-1], os.path.dirname(__file__))
