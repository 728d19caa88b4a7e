#!/usr/bin/env bash
# Touching cells in 3D, from HDF5 stacks to instances, with small plans on a CPU: the whole sequence of commands. One
# case is left out, trained without, predicted and evaluated; the spacing of the stacks is honoured throughout.
#
#   bash benchmarks/plantseg.sh FOLDER_OF_H5 OUTPUT_FOLDER [FOLD]
#
# About 35 minutes on one CPU core.
set -euo pipefail
source=$1 out=$2 fold=${3:-0}
trainer=nnUNetTrainerJC_10epochs_100iters

mkdir -p "$out"/{raw,preprocessed,results}
export nnUNet_raw=$out/raw nnUNet_preprocessed=$out/preprocessed nnUNet_results=$out/results
export nnUNet_n_proc_DA=1 nnUNet_def_n_proc=1 OMP_WAIT_POLICY=passive
model=$nnUNet_results/Dataset520_PlantSeg/${trainer}__nnUNetPlansSmall__3d_fullres/fold_$fold

nnunet_ext convert plantseg -i "$source" -d 520
[ -f "$nnUNet_preprocessed/Dataset520_PlantSeg/nnUNetPlans.json" ] ||
    nnUNetv2_plan_and_preprocess -d 520 -c 3d_fullres -npfp 1 -np 1 --verify_dataset_integrity
nnunet_ext small-plans -d 520 -c 3d_fullres --patch 64
[ -f "$model/checkpoint_final.pth" ] ||
    nnUNetv2_train 520 3d_fullres "$fold" -p nnUNetPlansSmall -device cpu -tr "$trainer"

# the case that was left out, as if it were new
mkdir -p "$out/new_$fold"
python - "$nnUNet_preprocessed/Dataset520_PlantSeg/splits_final.json" "$fold" <<'PY' | while read -r case; do
import json, sys
print(*json.load(open(sys.argv[1]))[int(sys.argv[2])]["val"], sep="\n")
PY
    cp "$nnUNet_raw/Dataset520_PlantSeg/imagesTr/$case"[_.]* "$out/new_$fold"
done
nnUNetv2_predict -d 520 -c 3d_fullres -f "$fold" -p nnUNetPlansSmall -device cpu -tr "$trainer" \
    -i "$out/new_$fold" -o "$out/predicted_$fold" -npp 1 -nps 1 --disable_tta
nnunet_ext instances -i "$out/predicted_$fold" -o "$out/cells_$fold"
nnunet_ext evaluate --instances -ref "$nnUNet_raw/Dataset520_PlantSeg/instancesTr" -pred "$out/cells_$fold" --chill
