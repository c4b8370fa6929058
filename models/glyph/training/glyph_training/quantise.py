"""Weights as int8 behind DequantizeLinear, as f16 behind Cast: small files, arithmetic in f32.

Int8 is symmetric. Each output channel of a kernel and each row of an embedding
table has a scale of its own, and so has each run of 64 values in a row of a
matrix: a transformer's few huge activations need the finer grain (text encoder
of version 0: 32 dB with blocks, 27 dB with a scale a channel). Blocks are
written as rows of a matrix of 64 columns behind a Reshape, since rten and ONNX
Runtime both read that, and not both read DequantizeLinear's `block_size`.
"""

from collections import defaultdict

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

# Weights smaller than this stay as they are: they weigh little, and biases and gains need the precision.
SMALLEST = 512
LEVELS = 127
BLOCK = 64


def store_half(model: ModelProto) -> None:
    """Stores large f32 weights as f16; raises ValueError for a value that f16 cannot hold."""
    nodes = []
    for tensor, values in _large(model):
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"{tensor.name}: too large for f16")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.f16"))
        nodes.append(helper.make_node("Cast", [f"{name}.f16"], [name], to=TensorProto.FLOAT))
    _prepend(model, nodes)


def store_int8(model: ModelProto) -> None:
    """Stores the matrices, kernels and tables among the weights as int8, other large weights as f16."""
    roles, added, nodes = _roles(model), [], []
    for tensor, values in _large(model):
        name, shape, role = tensor.name, list(tensor.dims), roles.get(tensor.name)
        if role is None:
            continue
        blocked = role == "matrix" and shape[-1] % BLOCK == 0
        rows = values.reshape(-1, BLOCK) if blocked else values
        axis = 1 if role == "matrix" and not blocked else 0
        levels, scale = quantised(rows, axis)
        tensor.CopyFrom(numpy_helper.from_array(levels, f"{name}.int8"))
        added.append(numpy_helper.from_array(scale, f"{name}.scale"))
        whole = f"{name}.blocks" if blocked else name
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.scale"], [whole], axis=axis))
        if blocked:
            added.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}.shape"))
            nodes.append(helper.make_node("Reshape", [whole, f"{name}.shape"], [name]))
    store_half(model)
    model.graph.initializer.extend(added)
    _prepend(model, nodes)


def quantised(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 levels and the f32 scale of each slice along `axis`: `values` is about `levels * scale`."""
    others = tuple(a for a in range(values.ndim) if a != axis)
    scale = np.abs(values).max(others, keepdims=True) / LEVELS
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    levels = np.clip(np.rint(values / scale), -LEVELS, LEVELS).astype(np.int8)
    return levels, scale.reshape(-1)


def _large(model: ModelProto) -> list[tuple[TensorProto, np.ndarray]]:
    found = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]
    return [(t, v) for t in found if (v := numpy_helper.to_array(t)).size >= SMALLEST]


def _roles(model: ModelProto) -> dict[str, str]:
    """`matrix`, `kernel` or `table` for every weight whose users agree."""
    ranks = {t.name: len(t.dims) for t in model.graph.initializer}
    found: dict[str, set[str]] = defaultdict(set)
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name in ranks:
                found[name].add(_role(node, position, ranks[name]))
    return {name: next(iter(roles)) for name, roles in found.items() if len(roles) == 1 and "" not in roles}


def _role(node: onnx.NodeProto, position: int, rank: int) -> str:
    match node.op_type, position:
        case "MatMul" | "Gemm", 1 if rank == 2:
            return "matrix"
        case "Conv", 1:
            return "kernel"
        case "Gather", 0 if rank == 2 and all(a.name != "axis" or a.i == 0 for a in node.attribute):
            return "table"
    return ""


def _prepend(model: ModelProto, nodes: list[onnx.NodeProto]) -> None:
    nodes = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
