"""The names that others import: whoever moves or renames one breaks their code."""

import pickle
from importlib import import_module

import pytest

PUBLIC = {
    "nnunet_ext.losses": """
        SCNP CenterlineCrossEntropyLoss ClDiceLoss CrossEntropyLoss FocalLoss JCLoss LossWithTerm
        MultiLevelLoss RegionWiseLoss SCNPLoss SkeletonRecallLoss TopologicalLoss TverskyLoss
        WeightedCrossEntropy centerline_cross_entropy cldice_loss cross_entropy focal_loss
        multi_level_activation recommended_neighborhood region_wise_loss same_class_neighbor_penalization
        skeleton_recall_loss soft_skeleton split_target topological_loss tversky_loss weighted_cross_entropy
        youden_j_loss""",
    "nnunet_ext.targets": "region_distance semantic_from_instances skeleton_tube touching_from_binary",
    "nnunet_ext.targets.weight_maps": "class_balance distance shape_aware unet",
    "nnunet_ext.metrics": """
        ComparisonRow Confusion Containment InstanceOverlap Matching PairedTest aggregated_jaccard_index
        betti_0_error betti_1_error betti_numbers cl_dice compare_summaries confusion containment
        contour_f1 dice evaluate_folders evaluate_instance_folders instance_contours instance_overlap
        load_summary local_thickness match_instances median_thickness paired_test panoptic_quality roundness
        roundness_of_instances save_comparison save_summary""",
    "nnunet_ext.evaluation": """
        ComparisonRow compare_summaries evaluate_folders evaluate_instance_folders load_summary
        save_comparison save_summary""",
    "nnunet_ext.instances": """
        FolderInstances InstanceOptions from_probabilities from_semantic instances_from_folder
        semantic_from_probabilities""",
    "nnunet_ext.augmentation": "TouchingContrastTransform modulate_touching_contrast",
    "nnunet_ext.data": "crowded_cells nested_cells vessels write_nested_dataset write_vessel_dataset",
    "nnunet_ext.dataset_conversion": "CATALOGUE load",
    "nnunet_ext.trainers": """
        nnUNetTrainerExt nnUNetTrainerSCNP nnUNetTrainerJC nnUNetTrainerBWM nnUNetTrainerUNetWM
        nnUNetTrainerDWM nnUNetTrainerSAW nnUNetTrainerWeighted nnUNetTrainerMultiLevelSSE
        nnUNetTrainerMultiLevelMCE nnUNetTrainerMultiLevelNCE nnUNetTrainerSCNP_JC_w5_lambda0.25""",
}
#: what `nnunet_ext convert` offers
CONVERTERS = """
    atlas2 axons cirrmri600 crack500 ctc deepgloberoads dsb2018 fives ihc_tma instances isles24 lynsec
    meristem monuseg mslesseg nuinsseg plantseg postnatbrca pulmonaryva topomortar"""


@pytest.mark.parametrize(
    ("package", "name"), [(p, name) for p, names in PUBLIC.items() for name in names.split()]
)
def test_can_be_imported(package, name):
    assert getattr(import_module(package), name) is not None


@pytest.mark.parametrize("package", PUBLIC)
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = import_module(package).no_such_name


def test_converters():
    from nnunet_ext.dataset_conversion import CATALOGUE, load

    assert sorted(CATALOGUE) == CONVERTERS.split()
    for name in CATALOGUE:
        converter = load(name)
        assert pickle.loads(pickle.dumps(converter)) is converter  # they are sent to worker processes
