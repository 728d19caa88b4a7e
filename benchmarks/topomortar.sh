#!/usr/bin/env bash
# Baseline against SCNP on TopoMortar with small plans on a CPU; prints one evaluation table per trainer and set.
#
#   bash benchmarks/topomortar.sh TOPOMORTAR_FOLDER OUTPUT_FOLDER [trainer suffix …]
#
# About 4 minutes per trainer on two cores. Default trainers: Ext SCNP_joint SCNP SCNP_w7, each followed by
# the length below.
set -euo pipefail
source=$1 out=$2
shift 2
trainers=("$@")
[ $# -gt 0 ] || trainers=(Ext SCNP_joint SCNP SCNP_w7)
length=_10epochs_150iters

mkdir -p "$out"/{raw,preprocessed,results}
export nnUNet_raw=$out/raw nnUNet_preprocessed=$out/preprocessed nnUNet_results=$out/results
export nnUNet_n_proc_DA=1 nnUNet_def_n_proc=2 OMP_WAIT_POLICY=passive
data=$nnUNet_raw/Dataset501_TopoMortar

nnunet_ext convert topomortar -i "$source" -d 501 -np 2
[ -f "$nnUNet_preprocessed/Dataset501_TopoMortar/nnUNetPlans.json" ] ||
    nnUNetv2_plan_and_preprocess -d 501 -c 2d -npfp 2 -np 2 --verify_dataset_integrity
nnunet_ext small-plans -d 501 -c 2d

for trainer in "${trainers[@]}"; do
    name=nnUNetTrainer$trainer$length
    model=$nnUNet_results/Dataset501_TopoMortar/${name}__nnUNetPlansSmall__2d
    common=(-p nnUNetPlansSmall -device cpu -tr "$name")
    [ -f "$model/fold_0/checkpoint_final.pth" ] || nnUNetv2_train 501 2d 0 "${common[@]}"
    nnUNetv2_predict -d 501 -c 2d -f 0 "${common[@]}" -i "$data/imagesTs" -o "$out/predicted/$trainer"
done
for trainer in "${trainers[@]}"; do
    model=$nnUNet_results/Dataset501_TopoMortar/nnUNetTrainer$trainer${length}__nnUNetPlansSmall__2d
    echo "== $trainer: validation, then test"
    nnunet_ext evaluate -ref "$data/labelsTr" -pred "$model/fold_0/validation" --chill
    nnunet_ext evaluate -ref "$data/labelsTs" -pred "$out/predicted/$trainer"
done
