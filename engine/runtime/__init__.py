"""Run graphs on a device; knows arrays and bytes, no explanations and no ONNX."""
