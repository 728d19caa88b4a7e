#!/usr/bin/env bash
# Instances on the fluorescence images of DSB2018 with small plans on a CPU: JC on four classes against nnU-Net's own
# loss on the same classes and on plain foreground; prints one table of instance metrics per model, over the folds.
#
#   bash benchmarks/dsb2018.sh STAGE1_TRAIN_FOLDER OUTPUT_FOLDER [FOLDS]
#
# About 3 minutes per model and fold on two cores. Default folds: "0 1".
set -euo pipefail
source=$1 out=$2 folds=${3:-0 1}
length=_10epochs_100iters
models=("511 4 JC" "511 4 SCNP_JC" "511 4 Ext" "512 2 Ext")  # dataset id, classes, trainer

mkdir -p "$out"/{raw,preprocessed,results}
export nnUNet_raw=$out/raw nnUNet_preprocessed=$out/preprocessed nnUNet_results=$out/results
export nnUNet_n_proc_DA=1 nnUNet_def_n_proc=1

for dataset in "511 4" "512 2"; do
    read -r id classes <<< "$dataset"
    name=DSB2018x$classes
    nnunet_ext convert dsb2018 -i "$source" -d "$id" -n "$name" --modality fluorescence --classes "$classes" -np 2
    [ -f "$nnUNet_preprocessed/Dataset${id}_$name/nnUNetPlans.json" ] ||
        nnUNetv2_plan_and_preprocess -d "$id" -c 2d -npfp 2 -np 2 --verify_dataset_integrity
    nnunet_ext small-plans -d "$id" -c 2d
done
for model in "${models[@]}"; do
    read -r id classes trainer <<< "$model"
    name=nnUNetTrainer$trainer$length
    results=$nnUNet_results/Dataset${id}_DSB2018x$classes/${name}__nnUNetPlansSmall__2d
    cells=$out/cells/${trainer}_$classes
    for fold in $folds; do
        [ -f "$results/fold_$fold/validation/summary.json" ] ||
            nnUNetv2_train "$id" 2d "$fold" -p nnUNetPlansSmall -device cpu -tr "$name" --npz
        nnunet_ext instances -i "$results/fold_$fold/validation" -o "$cells/fold_$fold" \
            -djfile "$nnUNet_raw/Dataset${id}_DSB2018x$classes/dataset.json"
        mkdir -p "$cells/all" && cp "$cells/fold_$fold"/*.tif "$cells/all"
    done
done
for model in "${models[@]}"; do
    read -r id classes trainer <<< "$model"
    echo "== $trainer on $classes classes, folds $folds"
    nnunet_ext evaluate --instances -ref "$nnUNet_raw/Dataset${id}_DSB2018x$classes/instancesTr" \
        -pred "$out/cells/${trainer}_$classes/all" --chill
done
