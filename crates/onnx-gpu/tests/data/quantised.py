# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6"]
# ///
"""Graphs with quantised weights and ONNX Runtime's results, packed into quantised.pack.

Records are a line "CASE/FILE BYTES" and that many bytes: model.onnx, in/NAME.npy, out/NAME.npy.
Weights of the cases named "large" exceed what the runtime keeps in main memory.
"""

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(20)


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def packed4(name, values, signed):
    """A tensor of 4-bit integers, two per byte."""
    flat = values.reshape(-1) & 15
    flat = np.concatenate([flat, np.zeros(len(flat) % 2, flat.dtype)])
    raw = (flat[0::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
    kind = TensorProto.INT4 if signed else TensorProto.UINT4
    return helper.make_tensor(name, kind, values.shape, raw, raw=True)


def case(nodes, initializers, x, y_rank, y=None):
    """A model with an input, and its output, `y` where ONNX Runtime does not take it."""
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kinds[x.dtype], x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * y_rank)],
        [i if isinstance(i, TensorProto) else numpy_helper.from_array(i[1], i[0]) for i in initializers],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    if y is not None:
        return {"model.onnx": model, "in/x.npy": npy(x), "out/y.npy": npy(y)}
    # Its optimiser would round the activations of DequantizeLinear -> MatMul to 8 bits.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return {"model.onnx": model, "in/x.npy": npy(x), "out/y.npy": npy(y)}


def nbits(m, k, n, bits, block, zero=None, bias=False):
    per_row = -(-k // block)
    q = RNG.integers(0, 256, (n, per_row, block * bits // 8), dtype=np.uint8)
    scales = RNG.uniform(0.01, 0.1, n * per_row).astype(np.float32)
    names = ["x", "q", "s", "", "", ""]
    initializers = [("q", q), ("s", scales)]
    if zero == "bytes":
        names[3] = "z"
        initializers.append(("z", RNG.integers(0, 256, n * -(-per_row * bits // 8), dtype=np.uint8)))
    if zero == "floats":
        names[3] = "z"
        initializers.append(("z", RNG.uniform(6, 10, n * per_row).astype(np.float32)))
    if bias:
        names[5] = "b"
        initializers.append(("b", RNG.standard_normal(n).astype(np.float32)))
    while names[-1] == "":
        names.pop()
    node = helper.make_node(
        "MatMulNBits", names, ["y"], domain="com.microsoft", K=k, N=n, bits=bits, block_size=block, accuracy_level=1
    )
    x = RNG.standard_normal((2, m, k)).astype(np.float32)
    return case([node], initializers, x, 3)


def bits_of(packed, rows, count, bits):
    """`count` unsigned integers in each row of packed bytes, bit behind bit, the lowest first."""
    flat = np.unpackbits(packed.reshape(rows, -1), axis=1, bitorder="little")[:, : count * bits]
    return (flat.reshape(rows, count, bits) * (1 << np.arange(bits))).sum(-1).astype(np.float64)


def nbits_by_definition(m, k, n, bits, block, zero=False, kind=np.float32):
    """For a width or type that the CPU of ONNX Runtime does not take: the sums of the operator's definition, in double precision."""
    per_row = -(-k // block)
    q = RNG.integers(0, 256, (n, per_row, block * bits // 8), dtype=np.uint8)
    scales = RNG.uniform(0.01, 0.1, n * per_row).astype(kind)
    initializers = [("q", q), ("s", scales)]
    zeros = np.full((n, per_row), 2.0 ** (bits - 1))
    if zero:
        packed = RNG.integers(0, 256, n * -(-per_row * bits // 8), dtype=np.uint8)
        initializers.append(("z", packed))
        zeros = bits_of(packed, n, per_row, bits)
    spread = lambda v: np.repeat(v, block, 1)[:, :k]
    w = (bits_of(q, n, per_row * block, bits)[:, :k] - spread(zeros)) * spread(scales.reshape(n, per_row).astype(np.float64))
    x = RNG.standard_normal((m, k)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))),
        helper.make_node("MatMulNBits", ["a", *(name for name, _ in initializers)], ["b"], domain="com.microsoft", K=k, N=n,
                         bits=bits, block_size=block),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    y = (x.astype(kind).astype(np.float64) @ w.T).astype(np.float32)
    return case(nodes, initializers, x, 2, y)


def dequantized(op, shape, kind, axis=None, block=0, zero=True):
    """`op` on a weight behind DequantizeLinear."""
    four = kind in ("int4", "uint4")
    signed = kind in ("int8", "int4")
    low, high = {"int8": (-128, 128), "uint8": (0, 256), "int4": (-8, 8), "uint4": (0, 16)}[kind]
    tensor = lambda name, v: packed4(name, v, signed) if four else (name, v.astype(kind))
    scale_shape = list(shape)
    if axis is None:
        scale_shape = []
    elif block:
        scale_shape[axis] = -(-shape[axis] // block)
    else:
        scale_shape = [shape[axis]]
    initializers = [
        tensor("q", RNG.integers(low, high, shape)),
        ("s", np.asarray(RNG.uniform(0.005, 0.05, scale_shape), np.float32)),
    ]
    inputs = ["q", "s"]
    if zero:
        initializers.append(tensor("z", np.asarray(RNG.integers(low // 2, high // 2, scale_shape))))
        inputs.append("z")
    attributes = {} if axis is None else {"axis": axis}
    if block:
        attributes["block_size"] = block
    widen = helper.make_node("DequantizeLinear", inputs, ["w"], **attributes)
    if op == "MatMul":
        x, names, rank = RNG.standard_normal((3, shape[0])).astype(np.float32), ["x", "w"], 2
    elif op == "Gemm":
        x, names, rank = RNG.standard_normal((3, shape[1])).astype(np.float32), ["x", "w"], 2
    elif op == "Conv":
        x, names, rank = RNG.standard_normal((1, shape[1], 6, 5)).astype(np.float32), ["x", "w"], 4
    else:
        x, names, rank = RNG.integers(0, shape[0], (2, 3)), ["w", "x"], 3
    extra = {"Gemm": {"transB": 1}, "Conv": {"pads": [1, 1, 1, 1]}}.get(op, {})
    return case([widen, helper.make_node(op, names, ["y"], **extra)], initializers, x, rank)


CASES = {
    "nbits_4_16_row": lambda: nbits(1, 64, 9, 4, 16),
    "nbits_4_32_zero": lambda: nbits(5, 96, 33, 4, 32, zero="bytes"),
    "nbits_4_32_float_zero_bias": lambda: nbits(5, 64, 20, 4, 32, zero="floats", bias=True),
    "nbits_4_32_ragged": lambda: nbits(3, 70, 18, 4, 32, zero="bytes"),
    "nbits_4_256": lambda: nbits(20, 256, 7, 4, 256, zero="bytes"),
    "nbits_8_32": lambda: nbits(3, 64, 12, 8, 32),
    "nbits_8_64_zero": lambda: nbits(3, 128, 12, 8, 64, zero="bytes"),
    "nbits_4_128_large": lambda: nbits(9, 512, 288, 4, 128, zero="bytes", bias=True),
    "nbits_8_32_large": lambda: nbits(2, 256, 288, 8, 32),
    "matmul_int8_column_large": lambda: dequantized("MatMul", [256, 288], "int8", axis=1),
    "matmul_uint8_tensor_large": lambda: dequantized("MatMul", [256, 288], "uint8"),
    "matmul_int4_blocked_large": lambda: dequantized("MatMul", [512, 288], "int4", axis=0, block=32, zero=False),
    "matmul_uint4_blocked_large": lambda: dequantized("MatMul", [512, 288], "uint4", axis=0, block=128),
    "gemm_int8_row_large": lambda: dequantized("Gemm", [288, 256], "int8", axis=0, zero=False),
    "conv_int8_channel_large": lambda: dequantized("Conv", [96, 96, 3, 3], "int8", axis=0),
    "gather_uint8_large": lambda: dequantized("Gather", [300, 256], "uint8", axis=0),
    "matmul_int8_small": lambda: dequantized("MatMul", [12, 10], "int8", axis=1),
    "matmul_uint4_small": lambda: dequantized("MatMul", [12, 10], "uint4", axis=0, block=4),
    "nbits_2_32": lambda: nbits(3, 96, 11, 2, 32),
    "nbits_2_16_zero": lambda: nbits(1, 83, 13, 2, 16, zero="bytes"),
    "nbits_2_64_float_zero_large": lambda: nbits(9, 1024, 288, 2, 64, zero="floats", bias=True),
    "nbits_4_32_zero_large": lambda: nbits(1, 544, 288, 4, 32, zero="bytes"),
    "nbits_8_16_zero_large": lambda: nbits(17, 272, 288, 8, 16, zero="bytes", bias=True),
    "nbits_3_32": lambda: nbits_by_definition(3, 96, 11, 3, 32),
    "nbits_3_16_zero": lambda: nbits_by_definition(1, 83, 13, 3, 16, zero=True),
    "nbits_3_32_zero_large": lambda: nbits_by_definition(9, 992, 288, 3, 32, zero=True),
    "half_nbits_4_32_large": lambda: nbits_by_definition(9, 544, 288, 4, 32, kind=np.float16),
    "half_nbits_4_32_zero": lambda: nbits_by_definition(2, 70, 9, 4, 32, zero=True, kind=np.float16),
    "half_nbits_3_16_zero_large": lambda: nbits_by_definition(2, 784, 288, 3, 16, zero=True, kind=np.float16),
}


def main():
    out = io.BytesIO()
    for name, make in CASES.items():
        for file, body in make().items():
            out.write(f"{name}/{file} {len(body)}\n".encode())
            out.write(body)
    path = Path(__file__).with_name("quantised.pack")
    path.write_bytes(out.getvalue())
    print(f"{len(CASES)} cases, {path.stat().st_size} bytes, onnx {onnx.__version__}")


main()
