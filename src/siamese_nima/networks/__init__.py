"""Networks: NIMA on any timm backbone, its checkpoints, its ONNX model files, Keras weights."""
