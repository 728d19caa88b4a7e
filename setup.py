"""What pyproject.toml cannot say: the package list and the ``.pth`` file that announces the trainers."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PTH = "nnunet_ext.pth"


class BuildPyWithPth(build_py):
    """Puts ``nnunet_ext.pth`` into site-packages, for a wheel and for an editable install alike."""

    def run(self):
        super().run()
        if self.editable_mode:
            target = Path(self.distribution.get_command_obj("install").install_lib)
        else:
            target = Path(self.build_lib)
        self.mkpath(str(target))
        self.copy_file(str(Path(__file__).parent / PTH), str(target / PTH), preserve_mode=False)

    def get_source_files(self):
        return [*super().get_source_files(), PTH]


setup(
    packages=[
        *find_packages(include=["nnunet_ext", "nnunet_ext.*"]),
        "nnunet_ext.plugin.trainer_folder",  # without __init__: nnU-Net imports its module from the folder
        "nnunet_ext.trainers",
        "nnunet_ext.dataset_conversion",
        *(f"nnunet_ext.dataset_conversion.{package}" for package in find_packages("dataset_conversion")),
    ],
    cmdclass={"build_py": BuildPyWithPth},
)
