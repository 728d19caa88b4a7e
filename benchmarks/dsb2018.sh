#!/usr/bin/env bash
# Instances on the fluorescence images of DSB2018 with small plans on a CPU: one table of instance metrics per model, over
# the folds. A model is a number of classes and a trainer's family with options: JC on four classes, nnU-Net's own loss
# (Ext) on four classes and on plain foreground, cross-entropy alone (JC_lambda0) and with each weight map.
#
#   bash benchmarks/dsb2018.sh STAGE1_TRAIN_FOLDER OUTPUT_FOLDER [FOLDS [MODEL …]]
#   bash benchmarks/dsb2018.sh stage1_train out "0 1" 4:JC 2:Ext 4:SCNP_UNetWM_w5
#
# About 3 minutes per model and fold on two cores; what is finished is not trained again. Default folds: "0 1".
set -euo pipefail
source=$1 out=$2 folds=${3:-0 1}
length=_10epochs_100iters
models=(4:JC 4:SCNP_JC 4:Ext 2:Ext 4:JC_lambda0_notouchaug 4:BWM 4:UNetWM 4:DWM 4:SAW)
[ $# -le 3 ] || models=("${@:4}")

mkdir -p "$out"/{raw,preprocessed,results}
export nnUNet_raw=$out/raw nnUNet_preprocessed=$out/preprocessed nnUNet_results=$out/results
export nnUNet_n_proc_DA=1 nnUNet_def_n_proc=1 OMP_WAIT_POLICY=passive

declare -A ids=([2]=512 [3]=513 [4]=511)
for classes in $(printf '%s\n' "${models[@]%%:*}" | sort -u); do
    id=${ids[$classes]} name=DSB2018x$classes
    nnunet_ext convert dsb2018 -i "$source" -d "$id" -n "$name" --modality fluorescence --classes "$classes" -np 2
    [ -f "$nnUNet_preprocessed/Dataset${id}_$name/nnUNetPlans.json" ] ||
        nnUNetv2_plan_and_preprocess -d "$id" -c 2d -npfp 2 -np 2 --verify_dataset_integrity
    nnunet_ext small-plans -d "$id" -c 2d
done
for fold in $folds; do
    for model in "${models[@]}"; do
        classes=${model%%:*} trainer=${model#*:}
        id=${ids[$classes]} name=nnUNetTrainer$trainer$length
        results=$nnUNet_results/Dataset${id}_DSB2018x$classes/${name}__nnUNetPlansSmall__2d/fold_$fold
        cells=$out/cells/${trainer}_$classes
        [ -f "$results/validation/summary.json" ] ||
            nnUNetv2_train "$id" 2d "$fold" -p nnUNetPlansSmall -device cpu -tr "$name" --npz
        nnunet_ext instances -i "$results/validation" -o "$cells/fold_$fold" \
            -djfile "$nnUNet_raw/Dataset${id}_DSB2018x$classes/dataset.json"
        mkdir -p "$cells/all" && cp "$cells/fold_$fold"/*.tif "$cells/all"
    done
done
for model in "${models[@]}"; do
    classes=${model%%:*} trainer=${model#*:}
    echo "== $trainer on $classes classes, folds $folds"
    nnunet_ext evaluate --instances -ref "$nnUNet_raw/Dataset${ids[$classes]}_DSB2018x$classes/instancesTr" \
        -pred "$out/cells/${trainer}_$classes/all" --chill
done
