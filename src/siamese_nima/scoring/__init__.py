"""Views in, rating distributions out: ONNX Runtime, streaming, one result per photo."""
