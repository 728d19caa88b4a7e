"""Stands for nnU-Net's commands, and for our evaluation: writes the files that they write, in no time.

    python nnunet_stub.py nnUNetv2_train 501 2d 0 -tr nnUNetTrainerExt_seed1 …

STUB_CALLS is a file to which each call adds its words. STUB_STOP="training Ext_seed1" lets the call whose
words and stage contain all of these hang in the middle; STUB_FAIL lets it fail.
"""

import json
import os
import random
import shutil
import sys
import time
import zipfile
from pathlib import Path

from PIL import Image  # little else: it is started a hundred times


def folder_of(name):
    return Path(os.environ[f"nnUNet_{name}"])


def matches(variable, stage):
    wanted = os.environ.get(variable)
    return bool(wanted) and all(word in " ".join([*sys.argv, stage]) for word in wanted.split())


def half_way(stage):
    """Hang or fail in this stage, if the test wants that."""
    if matches("STUB_FAIL", stage):
        print("the reason why it failed")
        sys.exit(3)
    if matches("STUB_STOP", stage):
        Path(os.environ["STUB_CALLS"]).with_name("stopped").touch()
        time.sleep(60)


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def dataset(number):
    return next(folder_of("raw").glob(f"Dataset{number}_*"))


def pixels(file):
    with Image.open(file) as image:
        return image.size, list(image.getdata())


def predict(label, target, trainer):
    """Write the label with errors that depend on the trainer, its seed and the case."""
    size, truth = pixels(label)
    draw = random.Random(trainer + label.name)
    share = 0.1 if "SCNP" in trainer else 0.2
    image = Image.new("L", size)
    image.putdata([1 - value if draw.random() < share else value for value in truth])
    image.save(target)


def checkpoint(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights", "x" * 100)


def plan_and_preprocess():
    raw = dataset(option("-d"))
    folder = folder_of("preprocessed") / raw.name / "nnUNetPlans_2d"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(raw / "dataset.json", folder.parent / "dataset.json")
    plans = {"configurations": {"2d": {"data_identifier": folder.name}}}
    (folder.parent / "nnUNetPlans.json").write_text(json.dumps(plans))
    labels = sorted((raw / "labelsTr").iterdir())
    for number, label in enumerate(labels):
        if number == len(labels) // 2:
            half_way("planning")
        (folder / f"{label.stem}.pkl").touch()


def train():
    number, _, fold = sys.argv[2:5]
    raw, trainer = dataset(number), option("-tr")
    model = folder_of("results") / raw.name / f"{trainer}__{option('-p')}__2d"
    folder = model / f"fold_{fold}"
    (folder / "validation").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder_of("preprocessed") / raw.name / f"{option('-p')}.json", model / "plans.json")
    shutil.copy(raw / "dataset.json", model / "dataset.json")
    final, latest = folder / "checkpoint_final.pth", folder / "checkpoint_latest.pth"
    if "--val" in sys.argv:
        assert final.exists()
    else:
        assert latest.exists() == ("--c" in sys.argv), "an interrupted training is continued"
        checkpoint(latest)
        print("Epoch time: 1.0 s", flush=True)
        half_way("training")
        print("Epoch time: 1.0 s", flush=True)
        latest.rename(final)
    for label in sorted((raw / "labelsTr").iterdir())[int(fold) :: 2]:
        predict(label, folder / "validation" / label.name, trainer)
    half_way("validating")
    (folder / "validation" / "summary.json").write_text("{}")


def predict_folder():
    target = Path(option("-o"))
    target.mkdir(parents=True, exist_ok=True)
    raw = dataset(option("-d"))
    for number, label in enumerate(sorted((raw / "labelsTs").iterdir())):
        file = target / label.name
        if file.exists() and "--continue_prediction" in sys.argv:
            continue
        if number == 1:
            file.write_bytes(b"half-written")
            half_way("predicting")
        predict(label, file, option("-tr"))


def evaluate():
    cases = []
    for file in sorted(Path(option("-pred")).glob("*.png")):
        pairs = list(zip(pixels(file)[1], pixels(Path(option("-ref")) / file.name)[1], strict=True))
        both = sum(a and b for a, b in pairs)
        metrics = {"1": {"Dice": 2 * both / sum(a + b for a, b in pairs)}}
        cases.append({"prediction_file": str(file), "metrics": metrics})
    content = {"metric_per_case": cases, "class_names": {"1": "line"}}
    Path(option("-o")).write_text(json.dumps(content))


if __name__ == "__main__":
    del sys.argv[0]
    sys.argv.insert(0, "stub")
    with open(os.environ["STUB_CALLS"], "a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    {
        "nnUNetv2_plan_and_preprocess": plan_and_preprocess,
        "nnUNetv2_train": train,
        "nnUNetv2_predict": predict_folder,
        "nnunet_ext": evaluate,
    }[sys.argv[1]]()
