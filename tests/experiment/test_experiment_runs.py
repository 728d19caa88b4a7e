"""An experiment with nnU-Net's commands replaced by a stub: order, failures, interruptions, jobs."""

import csv
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from experiments import MAIN, make_dataset
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.experiment import run as experiment_run
from nnunet_ext.experiment.results import load_results
from nnunet_ext.report.content import of_experiment

pytestmark = pytest.mark.slow  # each step is a process

WORDS = shlex.split("experiment -d 501 -tr Ext SCNP --seeds 1 2 -device cpu -f 0 1 -o out")
TABLES = ("means.csv", "differences.csv")


def start(dataset, words=WORDS, **variables):
    environment = {**os.environ, **variables}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        cwd=dataset,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(dataset, words=WORDS, code=0, **variables):
    """The same in this process, which has imported everything; return what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(dataset)
        patch.setattr(sys, "argv", ["nnunet_ext", *words])
        for name, value in variables.items():
            patch.setenv(name, value)
        result = CliRunner().invoke(app, words)
    text = result.output + (str(result.exception) if isinstance(result.exception, UserError) else "")
    assert result.exit_code == code, text
    return text


def calls(dataset, what=""):
    """Calls of nnU-Net since the last time."""
    file = dataset / "calls"
    found = [line for line in file.read_text().splitlines() if what in line]
    file.write_text("")
    return found


def tables(folder):
    return [(folder / name).read_text() for name in TABLES]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The tables and the calls of a run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_dataset(tmp_path_factory.mktemp("undisturbed"), patch)
        text = run(folder)
        return {"tables": tables(folder / "out"), "calls": calls(folder), "text": text, "folder": folder}


def test_every_model_fold_and_seed_in_order(undisturbed):
    words = [call.split()[0] for call in undisturbed["calls"] if "nnUNet" in call.split()[0]]
    assert words == [
        "nnUNetv2_plan_and_preprocess",
        *["nnUNetv2_train", "nnUNetv2_train", "nnUNetv2_predict"] * 4,
    ]
    trained = [call.split("-tr ")[1].split()[0] for call in undisturbed["calls"] if "_train" in call]
    assert trained[::2] == [f"nnUNetTrainer{name}_seed{seed}" for seed in (1, 2) for name in ("Ext", "SCNP")]
    predictions = [call for call in undisturbed["calls"] if "_predict" in call]
    assert all("-f 0 1 " in call for call in predictions)
    rows = list(csv.DictReader(undisturbed["tables"][0].splitlines()))
    dice = {row["model"]: row for row in rows if row["metric"] == "Dice"}
    assert {name: row["n_trainings"] for name, row in dice.items()} == {"Ext": "2", "SCNP": "2"}
    assert {row["n_cases"] for row in rows} == {"8"}
    assert float(dice["SCNP"]["mean"]) > float(dice["Ext"]["mean"])
    assert "SCNP − Ext" in undisturbed["text"]


STAGES = ("planning", "training Ext_seed1", "validating SCNP_seed1", "predicting SCNP_seed2")


@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_started_again_it_ends_with_the_same_tables(dataset, undisturbed, stage):
    process = start(dataset, STUB_STOP=stage)
    deadline = time.monotonic() + 240
    while not (dataset / "stopped").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run(dataset)
    assert tables(dataset / "out") == undisturbed["tables"]
    goes_on = {"training Ext_seed1": "--c", "validating SCNP_seed1": "--val"}.get(stage)
    if goes_on:
        assert [call for call in calls(dataset) if call.endswith(goes_on)]


def test_a_failure_is_reported_at_the_end_while_the_others_go_on(dataset):
    text = run(dataset, code=1, STUB_FAIL="training Ext_seed2")
    assert "Failed: train Ext, seed 2, fold 0." in text
    assert "the reason why it failed" in text
    assert "predictions of Ext, seed 2: left out" in text
    assert "Not in the table, since there is no evaluation: Ext, seed 2." in text
    assert "SCNP − Ext" in text  # of what there is
    shown = next(line for line in text.splitlines() if line.startswith("Its command:"))
    words = shlex.split(shown.removeprefix("Its command: "))
    assert words[:4] == ["nnUNetv2_train", "501", "2d", "0"]
    calls(dataset)
    run(dataset)
    again = calls(dataset, "train")
    assert {call.split("-tr ")[1].split()[0] for call in again} == {"nnUNetTrainerExt_seed2"}


def test_a_summary_that_is_cut_off_is_made_again(dataset):
    run(dataset, SHORT)
    before = tables(dataset / "out")
    summary = dataset / "out/evaluations/Ext/seed0.json"
    summary.write_text(summary.read_text()[:200])
    assert "1 step done" in run(dataset, SHORT)
    assert tables(dataset / "out") == before


def test_failures_are_reported_also_where_no_table_can_be_made(dataset, monkeypatch):
    def refuse(*args):
        raise UserError("these are different datasets")

    monkeypatch.setattr("nnunet_ext.experiment.results.compare_groups", refuse)
    text = run(dataset, SHORT, 1, STUB_FAIL="training Ext")
    assert "these are different datasets" in text
    assert "Failed: train Ext, seed 0, fold 0." in text
    assert "these are different datasets" in run(dataset, SHORT, 1)


def test_a_seed_added_later_is_all_that_is_trained(dataset):
    words = shlex.split("experiment -d 501 -tr Ext SCNP --seeds 1 -device cpu -o out")
    run(dataset, words)
    calls(dataset)
    words.insert(words.index("1") + 1, "7")
    run(dataset, words)
    assert all("seed7" in call for call in calls(dataset))
    assert '"n_trainings"' not in tables(dataset / "out")[0]
    rows = list(csv.DictReader(tables(dataset / "out")[0].splitlines()))
    assert {row["n_trainings"] for row in rows} == {"2"}


SHORT = shlex.split("experiment -d 501 -tr Ext SCNP -device cpu -o out")


def test_nothing_is_done_twice(dataset):
    run(dataset, SHORT)
    calls(dataset)
    assert "0 steps done, 7 were done before" in run(dataset, SHORT)
    assert calls(dataset) == []


def test_what_is_gone_or_newer_is_done_again(dataset):
    run(dataset, SHORT)
    before = tables(dataset / "out")
    calls(dataset)
    (dataset / "out/predictions/Ext/seed0/even_Ts0.png").unlink()
    assert "2 steps done" in run(dataset, SHORT)
    assert [call.split()[0] for call in calls(dataset)] == ["nnUNetv2_predict", "nnunet_ext"]
    model = dataset / "results/Dataset501_Lines/nnUNetTrainerExt__nnUNetPlans__2d"
    (model / "fold_0/checkpoint_final.pth").write_bytes(b"cut off")
    assert "3 steps done" in run(dataset, SHORT)  # train, predict, evaluate
    assert (model / "fold_0/checkpoint_final.damaged").exists()
    assert tables(dataset / "out") == before


def test_other_plans_than_those_of_a_begun_training_are_refused(dataset):
    run(dataset, SHORT, code=1, STUB_FAIL="training Ext")
    (dataset / "preprocessed/Dataset501_Lines/nnUNetPlans.json").write_text(
        '{"configurations": {"2d": {"data_identifier": "nnUNetPlans_2d"}}, "other": 1}'
    )
    assert "was begun with another nnUNetPlans.json" in " ".join(run(dataset, SHORT, code=1).split())


def test_a_finished_training_of_other_plans_is_refused_and_so_are_further_folds(dataset):
    run(dataset, SHORT)
    (dataset / "preprocessed/Dataset501_Lines/nnUNetPlans.json").write_text(
        '{"configurations": {"2d": {"data_identifier": "nnUNetPlans_2d"}}, "other": 1}'
    )
    calls(dataset)
    for words in (SHORT, [*SHORT, "-f", "1"]):
        text = " ".join(run(dataset, words, code=1).split())
        assert text.count("was begun with another nnUNetPlans.json") == 2
    assert calls(dataset) == []


def fresh(dataset, words):
    """The tables of a first run of these words."""
    words = [*words[: words.index("-o")], "-o", "fresh", *words[words.index("-o") + 2 :]]
    run(dataset, words)
    return tables(dataset / "fresh")


def test_predictions_of_another_command_are_not_taken_for_those_of_this_one(dataset):
    run(dataset, WORDS)
    folder = dataset / "out/predictions/Ext/seed1"
    of_two_folds = (folder / "odd_Ts1.png").stat().st_mtime_ns
    calls(dataset)
    run(dataset, shlex.split("experiment -d 501 -tr Ext SCNP --seeds 1 2 -device cpu -f 0 -o out"))
    assert len(calls(dataset, "nnUNetv2_predict")) == 4
    assert (folder / "odd_Ts1.png").stat().st_mtime_ns > of_two_folds


def test_names_that_change_places(dataset):
    plan = "dataset: 501\ndevice: cpu\nmodels: [{trainer: %s, name: A}, {trainer: %s, name: B}]\n"
    words = ["experiment", "plan.yaml", "-o", "out"]
    (dataset / "plan.yaml").write_text(plan % ("Ext", "SCNP"))
    run(dataset, words)
    (dataset / "plan.yaml").write_text(plan % ("SCNP", "Ext"))
    run(dataset, words)
    assert tables(dataset / "out") == fresh(dataset, words)


@pytest.mark.parametrize("stage", ["", "predicting Ext"])
def test_from_test_to_validation_and_back(dataset, stage):
    test, validation = SHORT, [*SHORT, "-f", "0", "1", "--cases", "validation"]
    run(dataset, test, code=int(bool(stage)), STUB_FAIL=stage)
    for words in (validation, test):
        run(dataset, words)
        assert tables(dataset / "out") == fresh(dataset, words)


def test_a_changed_reference_is_evaluated_again_and_a_changed_image_predicted(dataset):
    run(dataset, SHORT)
    before = tables(dataset / "out")
    raw = dataset / "raw/Dataset501_Lines"
    (raw / "labelsTs/odd_Ts1.png").write_bytes((raw / "labelsTs/odd_Ts3.png").read_bytes())
    calls(dataset)
    run(dataset, SHORT)
    assert [call.split()[:2] for call in calls(dataset)] == [["nnunet_ext", "evaluate"]] * 2
    assert tables(dataset / "out") != before
    (raw / "imagesTs/odd_Ts1_0000.png").touch()
    calls(dataset)
    assert "4 steps done" in run(dataset, SHORT)
    assert len(calls(dataset, "nnUNetv2_predict")) == 2
    for file in (raw / "imagesTs/odd_Ts1_0000.png", raw / "labelsTs/odd_Ts1.png"):
        file.unlink()
    run(dataset, SHORT)
    rows = csv.DictReader(tables(dataset / "out")[0].splitlines())
    assert {row["n_cases"] for row in rows} == {"7"}


def test_two_at_once_are_refused(dataset, monkeypatch):
    monkeypatch.setattr(experiment_run, "_PATIENCE", 1)
    first = start(dataset, SHORT, STUB_STOP="training Ext")
    while not (dataset / "stopped").exists():
        time.sleep(0.1)
    text = run(dataset, SHORT, code=1)
    assert "Another run of this experiment" in text
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    run(dataset, SHORT)


def test_a_folder_of_something_else_is_left_alone(dataset):
    (dataset / "out").mkdir()
    (dataset / "out" / "thesis.tex").touch()
    assert "holds other files" in run(dataset, SHORT, code=1)


def test_several_jobs_give_the_same_tables(dataset, undisturbed):
    run(dataset, [*WORDS, "--jobs", "3"])
    assert tables(dataset / "out") == undisturbed["tables"]


def test_validation_cases_of_all_folds_and_groups(dataset):
    (dataset / "plan.yaml").write_text(
        "dataset: 501\ndevice: cpu\nfolds: [0, 1]\ncases: validation\nmodels: [Ext, SCNP]\n"
        "groups:\n  ones/even: even_*\nmetrics: [Dice]\n"
    )
    text = run(dataset, ["experiment", "plan.yaml", "-o", "out"])
    assert not calls(dataset, "nnUNetv2_predict")
    assert "ones/even:" in text
    for name, cases in (("means.csv", "4"), ("means_ones_even.csv", "2")):
        with (dataset / "out" / name).open(newline="") as file:
            assert {row["n_cases"] for row in csv.DictReader(file)} == {cases}


def test_a_dry_run_prints_commands_to_copy_and_runs_nothing(dataset):
    text = run(dataset, [*WORDS, "--dry-run"])
    assert calls(dataset) == []
    assert not (dataset / "out").exists()
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith(("nnUNet", "nnunet"))]
    assert len(commands) == 1 + 4 * 4
    assert commands[1][:4] == ["nnUNetv2_train", "501", "2d", "0"]


def test_a_job_array_does_the_same(dataset):
    text = run(dataset, [*SHORT, "--submit", "slurm", "--sbatch", "gres=gpu:1", "time=1:00:00"])
    folder = dataset / "out" / "slurm"
    assert f"Next: bash {folder / 'submit.sh'}" in text
    array = (folder / "train.sh").read_text()
    assert "#SBATCH --array=1-2\n" in array
    assert "#SBATCH --gres=gpu:1\n#SBATCH --time=1:00:00\n" in array
    for script in folder.iterdir():
        subprocess.run(["bash", "-n", script], check=True)
    # what the scheduler would start; here it only notes its words, and they are run in this process
    program = dataset / "cluster" / "nnunet_ext"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {dataset}/words\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    for name, tasks in (("prepare", [0]), ("train", [1, 2]), ("finish", [0])):
        for task in tasks:
            variables = {**environment, "SLURM_ARRAY_TASK_ID": str(task)}
            subprocess.run(["bash", folder / f"{name}.sh"], cwd=dataset, env=variables, check=True)
    for line in (dataset / "words").read_text().splitlines():
        run(dataset, shlex.split(line))
    assert [call.split()[0] for call in calls(dataset, "nnUNetv2")] == [
        "nnUNetv2_plan_and_preprocess",
        *["nnUNetv2_train"] * 2,
        *["nnUNetv2_predict"] * 2,
    ]
    by_array = tables(dataset / "out")
    assert "0 steps done" in run(dataset, SHORT)
    assert tables(dataset / "out") == by_array


@pytest.mark.parametrize(
    "words",
    [
        "experiment --submit slurm plan.yaml -o 'the out'",
        "experiment plan.yaml --submit=slurm -o 'the out'",
        "experiment plan.yaml -o 'the out' --sbatch time=1 'comment=a b' --submit slurm",
    ],
)
def test_the_jobs_have_the_plan_wherever_it_stands_and_the_folder_they_were_written_in(dataset, words):
    (dataset / "plan.yaml").write_text("dataset: 501\ndevice: cpu\nmodels: [Ext, SCNP]\n")
    run(dataset, shlex.split(words))
    script = (dataset / "the out/slurm/prepare.sh").read_text()
    *_, place, line = script.splitlines()
    assert place == shlex.join(["cd", str(dataset)])
    assert shlex.split(line) == shlex.split("nnunet_ext experiment plan.yaml -o 'the out' --only prepare")
    assert f"#SBATCH --output='{dataset / 'the out/slurm/prepare.log'}'\n" in script
    assert ("#SBATCH '--comment=a b'\n" in script) == ("comment" in words)


def test_wrong_parts_and_gpus(dataset):
    assert "expected prepare, finish or a number from 1 to 2" in run(dataset, [*SHORT, "--only", "3"], 1)
    assert "there is only slurm" in run(dataset, [*SHORT, "--submit", "pbs"], 1)


def test_a_report_has_the_metrics_of_the_plan_and_says_what_is_missing_or_old(dataset):
    (dataset / "plan.yaml").write_text(
        "dataset: 501\ndevice: cpu\nseeds: [1, 2]\nmodels: [Ext, SCNP]\nmetrics: [Dice]\n"
    )
    run(dataset, ["experiment", "plan.yaml", "-o", "out"], 1, STUB_FAIL="training SCNP_seed2")
    (dataset / "out/predictions/Ext/seed1/even_Ts0.png").touch()
    subject = of_experiment(load_results(dataset / "out"))
    assert subject.metrics == ["Dice"]
    old, missing = subject.notes_on_files
    assert "is from before 1 of its 8 predictions changed (even_Ts0.png)" in old
    assert missing == "SCNP, seed 2: left out, since there is no evaluation."
