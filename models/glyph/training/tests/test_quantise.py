"""Stored weights against the values they stand for, in ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from glyph_training.quantise import BLOCK, quantised, store_half, store_int8


def graph(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """ids -> table row -> matrix -> odd matrix -> kernel -> bias."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["row"]),
        helper.make_node("MatMul", ["row", "matrix"], ["product"]),
        helper.make_node("Gemm", ["product", "odd"], ["odd_product"], transB=1),
        helper.make_node("Reshape", ["odd_product", "square"], ["picture"]),
        helper.make_node("Conv", ["picture", "kernel"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["filtered", "bias"], ["out"]),
    ]
    constants = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    constants.append(numpy_helper.from_array(np.array([3, 4, 5, 7], np.int64), "square"))
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, [3])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [3, 32, 5, 7])]
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants), opset_imports=opset)


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    shapes = {"table": (50, 96), "matrix": (96, 2 * BLOCK), "odd": (140, 2 * BLOCK), "kernel": (32, 4, 3, 3),
              "bias": (32, 5, 7)}  # fmt: skip
    return {name: chance.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def run(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": np.array([0, 7, 49])})[0]


def test_levels_are_within_half_a_step_of_the_values():
    values = np.random.default_rng(1).standard_normal((6, 5, 4)).astype(np.float32)
    for axis in range(3):
        levels, scale = quantised(values, axis)
        shape = [1, 1, 1]
        shape[axis] = -1
        step = scale.reshape(shape)
        assert levels.dtype == np.int8 and np.abs(levels).max() == 127
        assert (np.abs(levels * step - values) <= 0.501 * step).all()
    levels, scale = quantised(np.zeros((2, 3), np.float32), 0)
    assert not levels.any() and np.isfinite(scale).all()


def test_int8_weighs_a_quarter_and_stays_close(weights):
    whole, small = graph(weights), graph(weights)
    store_int8(small)
    kinds = {t.name: t.data_type for t in small.graph.initializer}
    assert [kinds[f"{n}.int8"] for n in ("table", "matrix", "odd", "kernel")] == [TensorProto.INT8] * 4
    assert kinds["bias.f16"] == TensorProto.FLOAT16
    expected, found = run(whole), run(small)
    # Rounding to 127 levels of a slice's largest value: about 1 % of a weight's deviation at each of four stages.
    assert np.square(found - expected).mean() < 1e-3 * np.square(expected).mean()
    assert np.square(found - expected).mean() > 0
    assert small.ByteSize() < 0.35 * whole.ByteSize()


def test_one_huge_value_spoils_its_own_block_alone(weights):
    weights["matrix"][3, 5] = 4000
    small = graph(weights)
    store_int8(small)
    stored = {t.name: numpy_helper.to_array(t) for t in small.graph.initializer}
    rows = stored["matrix.int8"] * stored["matrix.scale"][:, None]
    error = np.abs(rows.reshape(weights["matrix"].shape) - weights["matrix"])
    spoilt = np.zeros_like(error, bool)
    spoilt[3, :BLOCK] = True
    assert error[spoilt].max() > 0.5
    assert error[~spoilt].max() < 0.02


def test_half_refuses_what_it_cannot_hold(weights):
    model = graph(weights)
    store_half(model)
    kept = {t.name for t in model.graph.initializer}
    assert "matrix.f16" in kept and "matrix" not in kept
    np.testing.assert_allclose(run(model), run(graph(weights)), rtol=0.02, atol=0.5)
    weights["matrix"][0, 0] = 1e6
    with pytest.raises(ValueError, match="matrix"):
        store_half(graph(weights))
