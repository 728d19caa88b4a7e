"""nnU-Net plans of a very small network."""

RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


def toy_plans(dataset, dimensions=2, residual=False):
    """Plans of a 2D or 3D U-Net with four stages, plain or with residual encoder, patch 32 (16 × 32 × 32)."""
    conv, norm = "torch.nn.modules.conv.Conv{}d", "torch.nn.modules.instancenorm.InstanceNorm{}d"
    architecture = {
        "n_stages": 4, "features_per_stage": [4, 8, 8, 8], "conv_op": conv.format(dimensions),
        "kernel_sizes": [[3] * dimensions] * 4, "strides": [[1] * dimensions, *[[2] * dimensions] * 3],
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1] * 4,
        "n_conv_per_stage_decoder": [1] * 3, "conv_bias": True, "nonlin": "torch.nn.LeakyReLU",
        "norm_op": norm.format(dimensions), "norm_op_kwargs": {"affine": True},
        "dropout_op": None, "dropout_op_kwargs": None, "nonlin_kwargs": {"inplace": True},
    }  # fmt: skip
    network = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    configuration = {
        "data_identifier": "nnUNetPlans_2d", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": [16, 32, 32][-dimensions:], "spacing": [1.0] * dimensions, "batch_dice": True,
        "normalization_schemes": ["NoNormalization"], "use_mask_for_norm": [False],
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{network}",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }  # fmt: skip
    for kind in ("data", "seg", "probabilities"):
        configuration[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        configuration[f"resampling_fn_{kind}_kwargs"] = RESAMPLING
    return {
        "dataset_name": dataset, "plans_name": "nnUNetPlans", "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
        "configurations": {"2d": configuration}, "continue_training": False,
        "foreground_intensity_properties_per_channel": {},
    }  # fmt: skip
