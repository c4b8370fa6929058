# /// script
# requires-python = ">=3.10"
# dependencies = ["onnx", "onnxruntime", "numpy"]
# ///
"""Makes a graph whose batch size is fixed take several times as many rows, to see what batching would gain.

usage: batched.py MODEL.onnx TIMES OUT.onnx
Inputs and outputs grow in their first dimension, and so do the shapes that Reshape is given, where these begin with a
multiple of the batch size. The result must compute from repeated inputs what MODEL computes from them once.
"""
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from prepare import value


def grown(model: onnx.ModelProto, times: int) -> onnx.ModelProto:
    graph = model.graph
    (batch,) = {declared.type.tensor_type.shape.dim[0].dim_value for declared in graph.input}
    for declared in [*graph.input, *graph.output]:
        declared.type.tensor_type.shape.dim[0].dim_value *= times
    del graph.value_info[:]
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        shape = numpy_helper.to_array(tensor)
        if tensor.name in shapes and shape[0] > 0 and shape[0] % batch == 0:
            shape = np.concatenate([shape[:1] * times, shape[1:]])
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    return model


def main():
    source, times, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    once = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {declared.name: value(rng, declared) for declared in once.get_inputs()}
    expected = once.run(None, feeds)
    model = grown(onnx.load(source), times)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    repeated = {name: np.concatenate([array] * times) for name, array in feeds.items()}
    found = ort.InferenceSession(out, providers=["CPUExecutionProvider"]).run(None, repeated)
    for one, many in zip(expected, found):
        np.testing.assert_allclose(many, np.concatenate([one] * times), rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
    main()
