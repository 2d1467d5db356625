"""Writes segmentation_models_pytorch's Unet as ONNX: `smp_to_onnx.py OUT SIZE`."""

import sys

import segmentation_models_pytorch as smp
import torch

out, size = sys.argv[1], int(sys.argv[2])
model = smp.Unet("mobilenet_v2", encoder_weights=None, classes=3).eval()
images = torch.zeros(1, 3, size, size)
batch = torch.export.Dim("batch", min=1, max=64)
torch.onnx.export(model, (images,), out, dynamic_shapes=({0: batch},), dynamo=True)
