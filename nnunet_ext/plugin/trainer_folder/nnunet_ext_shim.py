"""What nnU-Net's trainer finder imports: it asks this module for a class name, which the package answers.

nnU-Net drops modules found in an external folder from ``sys.modules``, after which their classes can no
longer be pickled. The classes therefore come from the installed package; this module only passes them on.
"""

import os
import sys


def __getattr__(name: str) -> type:
    try:
        from nnunet_ext.errors import UserError
        from nnunet_ext.trainers import family_of, get_trainer
    except ModuleNotFoundError as error:
        # The variable was inherited by a Python without this package, which must find its own trainers.
        raise AttributeError(name) from error
    if family_of(name) is None:
        raise AttributeError(name)
    try:
        return get_trainer(name)
    except UserError as error:
        if not os.path.basename(sys.argv[0]).startswith("nnUNetv2_"):
            raise
        # On nnU-Net's command line a mistyped option deserves a sentence, not a traceback.
        raise SystemExit(f"Error: {error}") from None
