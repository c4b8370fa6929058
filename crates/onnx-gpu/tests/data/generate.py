# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx==1.23.2", "numpy==2.4.6", "ml_dtypes==0.6.0"]
# ///
"""Packs the node cases of the ONNX project that concern operators of this crate.

usage: generate.py            writes node_cases.pack beside this file and prints what was taken and left out

The cases are those of `onnx.backend.test` (the inputs and expected outputs come from its NumPy reference code). Two things
change: an input that this crate must know before the run (a shape, axes, pads ...) becomes an initializer of the model, and
models carry no documentation strings. A case is left out if it uses an element type or operator that the crate does not claim,
or if it is larger than MAX_CASE bytes.

The pack is a list of records: a line "NAME BYTES", then that many bytes. A case NAME has NAME/model.onnx, NAME/tolerance
("rtol atol"), NAME/in/INPUT.npy and NAME/out/OUTPUT.npy.
"""
import collections
import io
import pathlib
import warnings

import numpy as np
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

warnings.filterwarnings("ignore")

MAX_CASE = 40_000
OPERATORS = set(
    """Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Cast CastLike Ceil
    Celu Clip Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear
    Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND
    Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max
    MaxPool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or Pad Pow PRelu QLinearMatMul QuantizeLinear Range Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize RMSNormalization RotaryEmbedding Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size
    Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK
    Transpose Trilu Unsqueeze Upsample Where Xor""".split()
)
# Input positions that must be known before the run.
KNOWN = {
    "ConstantOfShape": [0], "CumSum": [1], "Dropout": [2], "Expand": [1], "NonZero": [0], "OneHot": [1], "Pad": [1, 2, 3],
    "Range": [0, 1, 2], "Reshape": [1], "Resize": [1, 2, 3], "Slice": [1, 2, 3, 4], "Split": [1], "Squeeze": [1], "Tile": [1],
    "TopK": [1], "Trilu": [1], "Unsqueeze": [1], "Upsample": [1],
}
KNOWN.update({op: [1] for op in OPERATORS if op.startswith("Reduce")})
TYPES = {"float16", "float32", "float64", "int64", "int32", "uint8", "int8", "bool"}


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array).reshape(np.shape(array)))
    return buffer.getvalue()


def records_of(name, model, tolerance, inputs, outputs):
    """The records of a case: a model, (rtol, atol), inputs and expected outputs by name."""
    records = [(f"{name}/model.onnx", model.SerializeToString())]
    records.append((f"{name}/tolerance", "{} {}".format(*tolerance).encode()))
    records += [(f"{name}/in/{key}.npy", npy(value)) for key, value in inputs.items()]
    records += [(f"{name}/out/{key}.npy", npy(value)) for key, value in outputs.items()]
    return records


def write(file_name, cases):
    """Writes the records of all cases to a file beside this one; its size."""
    path = pathlib.Path(__file__).with_name(file_name)
    with path.open("wb") as file:
        for name, data in (record for case in cases for record in case):
            file.write(f"{name} {len(data)}\n".encode() + data)
    return path.stat().st_size


def pack(case):
    """The records of a case, or the reason why it is left out."""
    model = case.model
    graph = model.graph
    missing = {node.op_type for node in graph.node if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS}
    if missing:
        return "operators " + " ".join(sorted(missing))
    if len(case.data_sets) != 1:
        return "several data sets"
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(a, (np.ndarray, np.generic)) and np.asarray(a).dtype.name in TYPES for a in [*inputs, *outputs]):
        return "element type"
    values = dict(zip((i.name for i in graph.input), map(np.asarray, inputs)))
    for node in graph.node:
        for position in KNOWN.get(node.op_type, []):
            if position < len(node.input) and node.input[position] in values:
                name = node.input[position]
                graph.initializer.append(numpy_helper.from_array(values.pop(name), name))
    kept = [i for i in graph.input if i.name in values]
    del graph.input[:]
    graph.input.extend(kept)
    model.ClearField("doc_string")
    for node in graph.node:
        node.ClearField("doc_string")
    named = {o.name: value for o, value in zip(graph.output, outputs)}
    records = records_of(case.name, model, (case.rtol, case.atol), values, named)
    size = sum(len(data) for _, data in records)
    return records if size <= MAX_CASE else "size"


def main():
    taken, left = [], collections.Counter()
    for case in sorted(collect_testcases(None), key=lambda case: case.name):
        if "_expanded" in case.name:
            left["expanded function"] += 1
            continue
        result = pack(case)
        if isinstance(result, str):
            left[result.split()[0]] += 1
        else:
            taken.append(result)
    size = write("node_cases.pack", taken)
    print(f"{len(taken)} cases, {size} bytes; left out: {dict(left)}")


if __name__ == "__main__":
    main()
