"""What a plan may say, and what is refused before anything runs."""

import json
import shutil

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.experiment.plan import make_plan
from nnunet_ext.experiment.plan_file import check_plan, read_plan
from nnunet_ext.experiment.results import compare_groups
from nnunet_ext.experiment.run import choose_gpus
from nnunet_ext.experiment.steps import Steps

PLAN = {"dataset": 501, "models": ["Ext", "SCNP_joint"], "seeds": [1, 2], "epochs": 10}


def make(**changes):
    content = {key: value for key, value in {**PLAN, **changes}.items() if value is not None}
    return make_plan(check_plan(content, "plan.yaml"))


def test_trainers_have_the_length_and_the_seed_in_their_names(dataset):
    plan = make(models=["Ext", "nnUNetTrainerSCNP_w5", {"trainer": "JC", "name": "J", "plans": "small"}])
    assert [model.name for model in plan.models] == ["Ext", "SCNP_w5", "J"]
    assert plan.models[1].trainers == {seed: f"nnUNetTrainerSCNP_w5_10epochs_seed{seed}" for seed in (1, 2)}
    assert (plan.models[0].plans, plan.models[2].plans) == ("nnUNetPlans", "nnUNetPlansSmall")
    assert plan.models[0].dataset == "Dataset501_Lines"
    assert (plan.on, plan.instances, plan.baseline) == ("test", False, "Ext")


def test_without_seeds_there_is_one_training_and_a_length_that_is_the_default_is_left_out(dataset):
    plan = make(seeds=None, epochs=1000)
    assert plan.models[0].trainers == {0: "nnUNetTrainerExt"}


def test_options_for_all(dataset):
    plan = make(options="_adam1e-3")
    assert plan.models[0].trainers[1] == "nnUNetTrainerExt_adam1e-3_10epochs_seed1"


@pytest.mark.slow
def test_nnunets_own_trainers_are_trained_once(dataset):
    plan = make(models=["Ext", "nnUNetTrainerDiceCELoss_noSmooth"])
    assert plan.models[1].trainers == {1: "nnUNetTrainerDiceCELoss_noSmooth"}
    assert "takes no seed" in plan.notes[0]
    plan = make(models=["nnUNetTrainer", "nnUNetTrainer_5epochs", "Ext"], options="adam1e-3", seeds=[1])
    assert [model.name for model in plan.models] == ["nnUNetTrainer", "nnUNetTrainer_5epochs", "Ext"]
    assert "takes no seed, no length and no options" in plan.notes[0]


def test_names_in_any_script_are_those_of_folders(dataset):
    names = ["Grüße", "Größe", "脳 / a"]
    models = [
        {"trainer": trainer, "name": name} for trainer, name in zip(("Ext", "JC", "SCNP"), names, strict=True)
    ]
    assert [model.folder for model in make(models=models).models] == ["Grüße", "Größe", "脳_a"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["Ext", "SNCP"]}, "Did you mean nnUNetTrainerSCNP"),
        ({"models": ["Ext", "SCNP_w4"]}, "odd, 3 to 31"),
        ({"models": ["Ext", "Ext"]}, "Two models are called 'Ext'"),
        ({"models": ["Ext", {"trainer": "Ext", "name": "E"}]}, "'Ext' and 'E' are the same training"),
        ({"models": ["Ext", {"trainer": "JC", "name": "/"}]}, "is no name"),
        ({"models": ["Ext", {"name": "a"}]}, "no 'trainer'"),
        ({"models": []}, "models"),
        ({"models": None}, "no 'models'"),
        ({"models": [{"trainer": "Ext", "seed": 1}]}, "unknown key 'seed' in a model"),
        ({"seed": [1]}, "unknown key 'seed' in the plan"),
        ({"seeds": [1, 2, 1]}, "seeds: 1 is there twice"),
        ({"seeds": ["a"]}, 'seeds.0 is "a"; expected a whole number'),
        ({"seeds": [-1]}, "seeds.0"),
        ({"folds": [0, 0]}, "folds: 0 is there twice"),
        ({"folds": ["all"], "cases": "validation"}, "nothing to validate on"),
        ({"folds": [3], "cases": "validation"}, "there is no fold 3"),
        ({"dataset": 502}, "has no dataset '502'"),
        ({"dataset": None}, "no dataset"),
        ({"baseline": "JC"}, "there is no model 'JC'"),
        ({"device": "gpu"}, "device"),
        ({"epochs": 0}, "epochs"),
        ({"metrics": ["Dicee"]}, "metrics: 'Dicee' is none of classes. Did you mean Dice?"),
        ({"metrics": ["PQ"]}, "metrics: 'PQ' is none of classes. There are: Dice, "),
        ({"metrics": ["Dice@0.5"]}, "metrics: 'Dice@0.5' is none of classes. Did you mean Dice?"),
        ({"groups": {"far": "ood_*"}}, "groups: far: no case fits 'ood_*'. There are: "),
        ({"groups": {"a b": "*", "a/b": "*"}}, "groups: 'a b' and another would be written to the same file"),
        ({"groups": {"a": "*", "A": "*"}}, "groups: 'a' and another would be written to the same file"),
        ({"groups": {"//": "*"}}, "'//' is no name"),
    ],
)
def test_refused(dataset, changes, message):
    folder = dataset / "preprocessed" / "Dataset501_Lines"
    folder.mkdir()
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b"]}] * 2))
    with pytest.raises(UserError) as error:
        make(**changes)
    assert message in str(error.value)


def test_a_file_that_is_no_plan(tmp_path):
    file = tmp_path / "plan.yaml"
    with pytest.raises(UserError, match="Cannot read"):
        read_plan(file)
    for text, message in (
        ("models: [Ext", "is no YAML"),
        ("- Ext", "expected 'models:'"),
        ("models: [Ext]\nseed: 1", "unknown key 'seed'"),
        ("models: [Ext]\nseeds: [1]\nseeds: [2]", r"line 2: 'seeds' is there twice"),
        ("models: [{trainer: Ext, name: a, name: b}]", r"line 1: 'name' is there twice"),
        ("models: &a [Ext, *a]", "contains itself"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            read_plan(file)


def test_a_gpu_for_each_job(monkeypatch):
    assert choose_gpus("cpu", 3, []) == choose_gpus("cuda", 1, []) == []
    assert choose_gpus("cuda", 2, ["4", "5", "6"]) == ["4", "5"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_gpus("cuda", 2, []) == ["0", "1"]
    with pytest.raises(UserError, match="--jobs 3 needs as many GPUs; there are 2"):
        choose_gpus("cuda", 3, [])


def test_groups_go_by_the_names_of_the_references(dataset):
    plan = make(groups={"even": "even_*.png"})
    case = {"metrics": {"1": {"Dice": 0.5}}}
    cases = [
        {**case, "reference_file": f"/ref/{name}.png", "prediction_file": f"/cells/{name}.tif"}
        for name in ("even_Ts0", "odd_Ts1")
    ]
    summaries = {model.name: [{"metric_per_case": cases}] for model in plan.models}
    comparison = compare_groups(plan, summaries)["even"]
    assert {row.n_cases for row in comparison.means} == {1}


def test_roundness_is_measured_where_it_is_in_the_tables(dataset):
    """Of instances: classes have none, and it takes time."""
    with pytest.raises(UserError, match="'Roundness' is none of classes"):
        make(metrics=["Roundness"])
    raw = make().raw
    shutil.copytree(raw / "labelsTs", raw / "instancesTs")

    def of_evaluation(*metrics):
        steps = Steps(make(metrics=list(metrics)), dataset).all()
        (step, *_) = (step for step in steps if step.key.startswith("evaluate/"))
        return step.words()

    assert "--roundness" in of_evaluation("PQ", "SphericityError")
    assert "--roundness" not in of_evaluation("PQ")
    assert "--instances" in of_evaluation("Roundness")
