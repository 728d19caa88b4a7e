"""The table of `multilevel.sh`: Dice and containment of every model, mean of the trainings and each of them.

python benchmarks/multilevel_table.py OUTPUT_FOLDER/predicted
"""

import json
import sys
from pathlib import Path

import numpy as np

COLUMNS = {
    "nucleus Dice ↑": ("2", "Dice"),
    "cell Dice ↑": ("1", "Dice"),
    "exposed surface ↓": ("2", "ExposedSurface"),
    "exposed nuclei ↓": ("2", "ExposedComponents"),
}


def main(folder: Path) -> None:
    """Print the table."""
    print("| model |", " | ".join(COLUMNS), "|")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for model in sorted(folder.iterdir()):
        summaries = [json.loads(path.read_text()) for path in sorted(model.glob("fold_*/evaluation.json"))]
        cells = []
        for key, metric in COLUMNS.values():
            values = [summary["mean"][key][metric] for summary in summaries]
            cells.append(f"{np.mean(values):.3f} ({', '.join(f'{v:.3f}' for v in values)})")
        print("|", model.name, "|", " | ".join(cells), "|")


main(Path(sys.argv[1]))
