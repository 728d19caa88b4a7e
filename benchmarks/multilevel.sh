#!/usr/bin/env bash
# Nested classes on synthetic cells with nuclei, small plans on a CPU: nnU-Net's own loss on labels and on regions, and
# cross-entropy alone (JC_lambda0), against the multi-level activation with its three losses, and with tuned thresholds;
# three trainings each (folds 0 to 2, which nnU-Net starts from different random numbers), the same 12 test images. Prints
# Dice and containment of each.
#
#   bash benchmarks/multilevel.sh OUTPUT_FOLDER [FOLDS [OPTIONS_OF_EVERY_TRAINER]]
#
# About 2 minutes per model and fold on two cores; what is finished is not trained again. Adam: with nnU-Net's SGD the
# multi-level activation learns slowly at first.
set -euo pipefail
out=$1 folds=${2:-0 1 2}
here=$(dirname "$0")
options=${3:-_adam1e-3_10epochs_100iters}
models=("520 MultiLevelMCE" "520 Ext" "521 Ext" "520 JC_lambda0_notouchaug" "520 MultiLevelSSE" "520 MultiLevelNCE")
# 521: as regions

mkdir -p "$out"/{raw,preprocessed,results}
export nnUNet_raw=$out/raw nnUNet_preprocessed=$out/preprocessed nnUNet_results=$out/results
export nnUNet_n_proc_DA=1 nnUNet_def_n_proc=1 OMP_WAIT_POLICY=passive
raw() { echo "$nnUNet_raw/Dataset$1_Nested$1"; }

for id in 520 521; do
    [ -f "$(raw $id)/dataset.json" ] || python -c "
from nnunet_ext.data.nested import write_nested_dataset
write_nested_dataset('$(raw $id)', regions=$id == 521)"
    [ -f "$nnUNet_preprocessed/Dataset${id}_Nested$id/nnUNetPlansSmall.json" ] || {
        nnUNetv2_plan_and_preprocess -d $id -c 2d -npfp 1 -np 1 --verify_dataset_integrity
        nnunet_ext small-plans -d $id -c 2d
    }
done
predict() {  # dataset id, trainer, fold, output folder
    [ -f "$4/evaluation.json" ] && return
    nnUNetv2_predict -d "$1" -c 2d -p nnUNetPlansSmall -tr "$2" -f "$3" -device cpu -npp 1 -nps 1 -i "$(raw 520)/imagesTs" -o "$4"
    nnunet_ext evaluate --containment -ref "$(raw 520)/labelsTs" -pred "$4" -djfile "$(raw 520)/dataset.json"
}
for fold in $folds; do
    for model in "${models[@]}"; do
        read -r id family <<< "$model"
        trainer=nnUNetTrainer$family$options
        results=$nnUNet_results/Dataset${id}_Nested$id/${trainer}__nnUNetPlansSmall__2d/fold_$fold
        [ -f "$results/validation/summary.json" ] ||
            nnUNetv2_train "$id" 2d "$fold" -p nnUNetPlansSmall -device cpu -tr "$trainer" --npz
        predict "$id" "$trainer" "$fold" "$out/predicted$options/${family}_$id/fold_$fold"
    done
    trainer=nnUNetTrainerMultiLevelMCE$options
    nnunet_ext tune-thresholds -d 520 -c 2d -p nnUNetPlansSmall -tr "$trainer" -f "$fold"
    predict 520 "$trainer" "$fold" "$out/predicted$options/MultiLevelMCE_520_tuned/fold_$fold"
done
python "$here/multilevel_table.py" "$out/predicted$options"
