"""Appends our trainer folder to ``nnUNet_extTrainer``; run by ``nnunet_ext.pth`` at interpreter start.

This runs in every Python process of the environment, so it imports ``os`` alone, prints nothing and
leaves what the user had set in place and first.
"""

import os

VARIABLE = "nnUNet_extTrainer"
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainer_folder")


def listed_folders() -> list[str]:
    """The folders in which nnU-Net will look for trainers, in its order."""
    return [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry.strip()]


def register() -> None:
    """Append `FOLDER` to the environment variable unless it is already listed."""
    listed = listed_folders()
    if FOLDER not in listed:
        os.environ[VARIABLE] = os.pathsep.join([*listed, FOLDER])


register()
