"""ONNX in, ONNX out; nothing here runs a model."""
