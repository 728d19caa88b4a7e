"""What nnU-Net's trainer finder imports: it asks this module for a class name, which the package answers.

nnU-Net drops modules found in an external folder from ``sys.modules``, after which their classes can no
longer be pickled. The classes therefore come from the installed package; this module only passes them on.
"""

import os
import sys


def __getattr__(name: str) -> type:
    if name.startswith("_"):  # what Python itself asks modules for
        raise AttributeError(name)
    try:
        from nnunet_ext.errors import exit_on_user_error, on_nnunets_command_line
        from nnunet_ext.plugin.images_to_predict import check_images_to_predict
        from nnunet_ext.plugin.register import listed_folders
        from nnunet_ext.trainers import FAMILIES, family_of, get_trainer, near_miss
    except ModuleNotFoundError as error:
        # The variable was inherited by a Python without this package, which must find its own trainers.
        raise AttributeError(name) from error
    if family_of(name) is None:
        # On nnU-Net's command line a mistyped name deserves a sentence, not a traceback.
        if not (on_nnunets_command_line() and _is_last(listed_folders())):
            raise AttributeError(name)
        meant = near_miss(name)
        hint = f"Did you mean {meant}?" if meant else f"nnunet-ext has {', '.join(FAMILIES)}."
        raise SystemExit(
            f"Error: there is no trainer {name}. {hint} Options follow the family's name, each after an "
            "underscore; 'nnunet_ext trainers' lists them."
        )
    with exit_on_user_error():
        trainer = get_trainer(name)
        check_images_to_predict(sys.argv)
        return trainer


def _is_last(folders: list[str]) -> bool:
    """Whether no folder that is searched after ours could still have the trainer."""
    return not folders or os.path.samefile(folders[-1], os.path.dirname(__file__))
