"""The experiment as jobs of a Slurm cluster: prepare, an array with a task for each training, finish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import command
from nnunet_ext.files import write_texts

_SCRIPT = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={log}
{options}{array}set -euo pipefail
{environment}cd {here}
{command}
"""
_SUBMIT = """#!/bin/bash
# Submits the three jobs, each after the one before; the last one also if trainings failed.
set -euo pipefail
prepare=$(sbatch --parsable {prepare})
train=$(sbatch --parsable --dependency=afterok:"$prepare" {train})
finish=$(sbatch --parsable --dependency=afterany:"$train" {finish})
echo "Submitted: prepare $prepare, trainings $train, finish $finish"
"""


def write_scripts(
    folder: Path, words: Sequence[str], trainings: int, options: Sequence[str], environment: dict[str, str]
) -> Path:
    """Write the three job scripts and the one that submits them.

    Parameters
    ----------
    folder : Path
        Where the experiment's results go; the scripts go to ``slurm`` in it.
    words : sequence of str
        The command of the experiment, without ``--submit``.
    trainings : int
        How many tasks the array has.
    options : sequence of str
        Of sbatch, such as ``--gres=gpu:1``.
    environment : dict
        Variables that the jobs need.

    Returns
    -------
    Path
        The script to run with bash.
    """
    place = folder.absolute() / "slurm"
    lines = "".join(f"#SBATCH {command(option)}\n" for option in options)
    exports = "".join(f"export {command(f'{name}={value}')}\n" for name, value in environment.items())
    texts = {}
    for part, only, array in (
        ("prepare", "prepare", ""),
        ("train", '"$SLURM_ARRAY_TASK_ID"', f"#SBATCH --array=1-{trainings}\n"),
        ("finish", "finish", ""),
    ):
        log = place / ("train_%a.log" if array else f"{part}.log")
        texts[place / f"{part}.sh"] = _SCRIPT.format(
            name=f"{folder.name}-{part}".replace(" ", "_"),
            log=command(log),
            options=lines,
            array=array,
            environment=exports,
            here=command(Path.cwd()),
            command=f"{command(*words)} --only {only}",
        )
    submit = {part: command(place / f"{part}.sh") for part in ("prepare", "train", "finish")}
    texts[place / "submit.sh"] = _SUBMIT.format(**submit)
    write_texts(texts)
    return place / "submit.sh"
