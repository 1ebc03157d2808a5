"""Backward graphs made of plain ONNX operators: what a deployed model has no framework for."""
