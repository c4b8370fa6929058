# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6", "ml_dtypes==0.6.0"]
# ///
"""Packs cases whose expected outputs ONNX Runtime computed: its own operators, and inputs that the ONNX cases do not try.

usage: generate_runtime.py [SEED COUNT]    writes runtime_cases.pack beside this file, in the layout of node_cases.pack; with a
                                           seed, that many random graphs alone, to look for more that fail

Operators that ONNX Runtime only has on GPUs (GroupNorm, SkipGroupNorm, BiasSplitGelu, BiasAdd, NhwcConv) get their expected
outputs from an equal graph of ONNX operators, written beside them.
"""
import sys

import numpy as np
import onnxruntime
from generate import records_of, write
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
RNG = np.random.default_rng(20261123)
CASES = []
INF, NAN = np.inf, np.nan


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model(nodes, inputs, outputs, constants=None, opset=18):
    def info(name, array):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        nodes, "g", [info(k, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(o, t, None) for o, t in outputs.items()],
        [v if isinstance(v, TensorProto) else numpy_helper.from_array(v, k) for k, v in (constants or {}).items()])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def run(m, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


FLOAT = TensorProto.FLOAT


def case(name, op, inputs, outputs=("y",), domain="", opset=18, constants=None, types=None, expected=None, tolerance=(1e-3, 1e-5), order=None, **attributes):
    """A model of one node. `inputs` are given at run time, `constants` are initializers; `order` names them in the node's order,
    "" for one left out. `expected` is another model of the same inputs and outputs to take the expected values from."""
    constants = constants or {}
    order = order or [*inputs, *constants]
    node = helper.make_node(op, order, list(outputs), domain=domain, **attributes)
    kinds = dict(zip([o for o in outputs if o], types or [FLOAT] * len(outputs)))
    m = model([node], inputs, kinds, constants, opset)
    values = run(expected(inputs, kinds, constants) if expected else m, inputs)
    CASES.append(records_of(name, m, tolerance, inputs, dict(zip(kinds, values))))


def contrib(name, op, inputs, outputs=("y",), **rest):
    case(f"contrib_{name}", op, inputs, outputs, domain=MS, **rest)


def equal_graph(*nodes, extra=None):
    def build(inputs, kinds, constants):
        return model([helper.make_node(op, i, o, **a) for op, i, o, a in nodes], inputs, kinds, constants | (extra or {}))

    return build


def activations():
    x, bias = 3 * floats(2, 5, 8), floats(8)
    contrib("gelu", "Gelu", {"x": x})
    contrib("fast_gelu", "FastGelu", {"x": x})
    contrib("fast_gelu_bias", "FastGelu", {"x": x, "b": bias})
    contrib("bias_gelu", "BiasGelu", {"x": x, "b": bias})
    contrib("quick_gelu", "QuickGelu", {"x": x})
    contrib("quick_gelu_alpha", "QuickGelu", {"x": x}, alpha=1.0)
    split = equal_graph(
        ("Add", ["x", "b"], ["s"], {}), ("Split", ["s"], ["h", "g"], {"axis": 2, "num_outputs": 2}),
        ("Div", ["g", "root"], ["e"], {}), ("Erf", ["e"], ["f"], {}), ("Add", ["f", "one"], ["p"], {}),
        ("Mul", ["g", "p"], ["q"], {}), ("Mul", ["q", "half"], ["r"], {}), ("Mul", ["h", "r"], ["y"], {}),
        extra={"root": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)})
    contrib("bias_split_gelu", "BiasSplitGelu", {"x": x, "b": bias}, expected=split)
    added = equal_graph(("Add", ["x", "b"], ["s"], {}), ("Add", ["s", "skip"], ["y"], {}))
    contrib("bias_add", "BiasAdd", {"x": x, "b": bias, "skip": floats(2, 5, 8)}, expected=added)


def norms():
    x, skip, gamma, beta, bias = floats(2, 5, 7), floats(2, 5, 7), floats(7), floats(7), floats(7)
    for name, inputs in {"": {}, "_beta": {"beta": beta}, "_beta_bias": {"beta": beta, "bias": bias}}.items():
        contrib(f"skip_layer_norm{name}", "SkipLayerNormalization", {"x": x, "skip": skip, "gamma": gamma} | inputs,
                epsilon=1e-5)
    contrib("skip_layer_norm_sum", "SkipLayerNormalization", {"x": x, "skip": skip, "gamma": gamma, "beta": beta},
            ["y", "", "", "sum"])
    contrib("skip_simplified_layer_norm", "SkipSimplifiedLayerNormalization",
            {"x": x, "skip": skip, "gamma": gamma, "bias": bias}, ["y", "", "", "sum"], epsilon=1e-6)
    case("simplified_layer_norm", "SimplifiedLayerNormalization", {"x": x, "gamma": gamma}, epsilon=1e-6, axis=-1)
    for activation in (0, 1):
        image, c = floats(2, 3, 5, 8), 8
        nodes = [
            ("Transpose", ["s"], ["t"], {"perm": [0, 3, 1, 2]}), ("Reshape", ["t", "groups"], ["r"], {}),
            ("InstanceNormalization", ["r", "ones", "zeros"], ["n"], {"epsilon": 1e-5}),
            ("Reshape", ["n", "shape"], ["m"], {}), ("Transpose", ["m"], ["p"], {"perm": [0, 2, 3, 1]}),
            ("Mul", ["p", "gamma"], ["q"], {}), ("Add", ["q", "beta"], ["a" if activation else "y"], {})]
        nodes += [("Sigmoid", ["a"], ["w"], {}), ("Mul", ["a", "w"], ["y"], {})] if activation else []
        extra = {"groups": np.array([2, 4, -1]), "shape": np.array([2, c, 3, 5]), "ones": np.ones(4, np.float32),
                 "zeros": np.zeros(4, np.float32)}
        affine = {"gamma": floats(c), "beta": floats(c)}
        plain = equal_graph(("Identity", ["x"], ["s"], {}), *nodes, extra=extra)
        contrib(f"group_norm_{activation}", "GroupNorm", {"x": image} | affine, groups=4, activation=activation,
                channels_last=1, epsilon=1e-5, expected=plain)
        skipped = equal_graph(("Add", ["x", "skip"], ["s0"], {}), ("Add", ["s0", "bias"], ["s"], {}), *nodes, extra=extra)
        contrib(f"skip_group_norm_{activation}", "SkipGroupNorm",
                {"x": image} | affine | {"skip": floats(2, 3, 5, 8), "bias": floats(c)}, ["y", "s"], groups=4,
                activation=activation, channels_last=1, epsilon=1e-5, expected=skipped)


def products():
    contrib("fused_matmul", "FusedMatMul", {"a": floats(2, 3, 5), "b": floats(2, 5, 4)}, alpha=0.5)
    contrib("fused_matmul_trans_b", "FusedMatMul", {"a": floats(2, 3, 5), "b": floats(4, 5)}, transB=1, alpha=2.0)
    contrib("fused_matmul_trans_a", "FusedMatMul", {"a": floats(2, 5, 3), "b": floats(2, 5, 4)}, transA=1)
    contrib("fused_matmul_trans_ab", "FusedMatMul", {"a": floats(2, 3, 5, 3), "b": floats(3, 4, 5)}, transA=1, transB=1)
    x, w, b = floats(1, 4, 6, 5), floats(3, 4, 3, 3), floats(3)
    for activation, extra in [("Relu", {}), ("Tanh", {}), ("LeakyRelu", {"activation_params": [0.2]}),
                              ("Clip", {"activation_params": [-0.5, 0.5]})]:
        contrib(f"fused_conv_{activation.lower()}", "FusedConv", {"x": x, "w": w, "b": b}, activation=activation,
                pads=[1, 1, 1, 1], **extra)
    contrib("fused_conv_sum", "FusedConv", {"x": x, "w": w, "b": b, "z": floats(1, 3, 6, 5)}, activation="Relu",
            pads=[1, 1, 1, 1])
    nhwc = equal_graph(
        ("Transpose", ["x"], ["s"], {"perm": [0, 3, 1, 2]}), ("Transpose", ["w"], ["v"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["s", "v", "b"], ["t"], {"pads": [1, 0, 1, 2], "strides": [2, 1], "group": 2}),
        ("Transpose", ["t"], ["y"], {"perm": [0, 2, 3, 1]}))
    contrib("nhwc_conv", "NhwcConv", {"x": floats(2, 6, 5, 4), "w": floats(6, 3, 3, 2), "b": floats(6)},
            pads=[1, 0, 1, 2], strides=[2, 1], group=2, expected=nhwc)


def attentions():
    def mha(name, inputs, outputs=("y",), heads=2, order=None, **rest):
        contrib(f"multi_head_{name}", "MultiHeadAttention", inputs, outputs, num_heads=heads, order=order, **rest)

    q, k, v = floats(2, 5, 8), floats(2, 7, 8), floats(2, 7, 8)
    mha("cross", {"q": q, "k": k, "v": v})
    mha("scale", {"q": q, "k": k, "v": v}, scale=0.3)
    mha("wide_value", {"q": q, "k": k, "v": floats(2, 7, 12)})
    mha("bias", {"q": q, "k": k, "v": v, "b": floats(24)})
    mha("attention_bias", {"q": q, "k": k, "v": v, "bias": floats(2, 2, 5, 7)}, order=["q", "k", "v", "", "", "bias"])
    mha("attention_bias_broadcast", {"q": q, "k": k, "v": v, "bias": floats(1, 1, 5, 7)}, order=["q", "k", "v", "", "", "bias"])
    mask = np.ones((2, 7), np.int32)
    mask[1, 4:] = 0
    mha("mask", {"q": q, "k": k, "v": v, "mask": mask}, order=["q", "k", "v", "", "mask"])
    mha("mask_filter", {"q": q, "k": k, "v": v, "mask": mask}, order=["q", "k", "v", "", "mask"], mask_filter_value=-2.0)
    mha("causal", {"q": q, "k": floats(2, 5, 8), "v": floats(2, 5, 8)}, unidirectional=1)
    mha("heads_first", {"q": q, "k": floats(2, 2, 7, 4), "v": floats(2, 2, 7, 4)})
    past = {"past_k": floats(2, 2, 3, 4), "past_v": floats(2, 2, 3, 4)}
    mha("past", {"q": q, "k": floats(2, 5, 8), "v": floats(2, 5, 8)} | past, ["y", "present_k", "present_v"],
        order=["q", "k", "v", "", "", "", "past_k", "past_v"])

    x, w, b = floats(2, 5, 6), floats(6, 24), floats(24)
    contrib("attention", "Attention", {"x": x, "w": w, "b": b}, num_heads=2)
    contrib("attention_causal", "Attention", {"x": x, "w": w, "b": b}, num_heads=2, unidirectional=1)
    mask = np.ones((2, 5), np.int32)
    mask[0, 3:] = 0
    contrib("attention_mask", "Attention", {"x": x, "w": w, "b": b, "m": mask}, num_heads=2)
    contrib("attention_lengths", "Attention", {"x": x, "w": w, "b": b, "m": np.array([5, 2], np.int32)}, num_heads=2)
    contrib("attention_sizes", "Attention", {"x": x, "w": floats(6, 28), "b": floats(28)}, num_heads=2,
            qkv_hidden_sizes=[8, 8, 12])
    contrib("attention_bias", "Attention", {"x": x, "w": w, "b": b, "bias": floats(2, 2, 5, 5)}, num_heads=2,
            order=["x", "w", "b", "", "", "bias"])
    contrib("attention_past", "Attention", {"x": x, "w": w, "b": b, "past": floats(2, 2, 2, 3, 4)}, ["y", "present"],
            num_heads=2, unidirectional=1, order=["x", "w", "b", "", "past"])

    positions = np.array([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]])
    cache = {"cos": np.cos(floats(9, 4)), "sin": np.sin(floats(9, 4))}
    for interleaved in (0, 1):
        suffix = "_interleaved" if interleaved else ""
        contrib(f"rotary{suffix}", "RotaryEmbedding", {"x": floats(2, 5, 16), "p": positions} | cache, interleaved=interleaved)
        contrib(f"rotary_heads{suffix}", "RotaryEmbedding", {"x": floats(2, 3, 5, 8), "p": positions} | cache,
                interleaved=interleaved)
        contrib(f"rotary_start{suffix}", "RotaryEmbedding", {"x": floats(2, 5, 16), "p": np.array([2])} | cache,
                interleaved=interleaved)
    contrib("rotary_partial", "RotaryEmbedding", {"x": floats(2, 5, 24), "p": positions} | cache, num_heads=2,
            rotary_embedding_dim=8)


def einsums():
    for index, (equation, *shapes) in enumerate([
        ("bhid,bhjd->bhij", (2, 3, 5, 4), (2, 3, 7, 4)), ("bhij,bhjd->bhid", (2, 3, 5, 7), (2, 3, 7, 4)),
        ("b i d, b j d -> b i j", (2, 5, 4), (2, 7, 4)), ("bqhd,bkhd->bhqk", (2, 5, 3, 4), (2, 7, 3, 4)),
        ("bhqk,bkhd->bqhd", (2, 3, 5, 7), (2, 7, 3, 4)), ("nhwpqc->nchpwq", (1, 3, 2, 2, 4, 5)), ("i,j->ij", (3,), (4,)),
        ("ij->", (3, 4)), ("ij->j", (3, 4)), ("ii->i", (4, 4)), ("ii", (4, 4)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
        ("...ij,...jk->...ik", (5, 1, 3, 4), (5, 2, 4, 2)), ("ij,ij->", (3, 4), (3, 4)), ("abc,cd->abd", (2, 3, 4), (4, 5)),
        ("ba,ca", (3, 4), (2, 4)),
    ]):
        inputs = {chr(ord("a") + i): floats(*shape) for i, shape in enumerate(shapes)}
        case(f"einsum_{index:02}", "Einsum", inputs, equation=equation)


def special_values():
    """Infinities, NaN, signed zeros and the ends of the range: where WGSL promises less than IEEE 754."""
    lowest = np.finfo(np.float32).min
    odd = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, INF, -INF, NAN, 1e-30, -1e30, 88.0, -104.0, 7.5, 1e10], np.float32)
    for op in ["Abs", "Neg", "Sign", "Sqrt", "Exp", "Log", "Reciprocal", "Floor", "Ceil", "Round", "Sigmoid", "Tanh", "Relu",
               "Softplus", "Erf", "Sin", "Cos", "Atan", "Asin", "Acos", "Selu", "HardSigmoid", "HardSwish", "Elu", "LeakyRelu", "Softsign", "Mish"]:
        values = odd if op not in ("Sin", "Cos") else odd[:7]
        case(f"special_{op.lower()}", op, {"x": values})
    for op in ["IsNaN", "IsInf"]:
        case(f"special_{op.lower()}", op, {"x": odd}, types=[TensorProto.BOOL], opset=20)
    a, b = np.repeat(odd, len(odd)), np.tile(odd, len(odd))
    for op in ["Add", "Sub", "Mul", "Div"]:
        case(f"special_{op.lower()}", op, {"a": a, "b": b})
    for op in ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"]:
        case(f"special_{op.lower()}", op, {"a": a, "b": b}, types=[TensorProto.BOOL])
    finite = np.isfinite(b) & np.isfinite(a)
    case("special_fmod", "Mod", {"a": a[finite], "b": np.where(b[finite] == 0, 3, b[finite]).astype(np.float32)}, fmod=1)
    base, power = np.abs(a[finite])[::3], np.clip(b[finite], -3, 3)[::3]
    case("special_pow", "Pow", {"a": base, "b": power})
    ints = np.array([0, 1, -1, 7, -7, 2**31 - 1, -(2**31)], np.int32)
    x, y = np.repeat(ints, 7), np.tile(ints, 7)
    for op in ["Add", "Sub", "Mul", "Min", "Max"]:
        case(f"special_int_{op.lower()}", op, {"a": x, "b": y}, types=[TensorProto.INT32])
    safe = (y != 0) & ~((x == -(2**31)) & (y == -1))
    case("special_int_div", "Div", {"a": x[safe], "b": y[safe]}, types=[TensorProto.INT32])
    case("special_int_mod", "Mod", {"a": x[safe], "b": y[safe]}, types=[TensorProto.INT32])
    rows = np.array([[-INF] * 5, [lowest] * 5, [1, 2, -INF, lowest, 3], [INF, 1, 2, 3, 4], [NAN, 1, 2, 3, 4], [-1e30, 0, 1e30, 5, 6]],
                    np.float32)
    for op in ["Softmax", "LogSoftmax"]:
        case(f"special_{op.lower()}", op, {"x": rows})
        case(f"special_{op.lower()}_columns", op, {"x": np.ascontiguousarray(rows.T)}, axis=0)
    clean = rows[[0, 1, 2, 3, 5]]
    for op in ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceLogSumExp"]:
        for length, data in (("", clean), ("_long", np.tile(clean, (1, 60)))):
            if op in ("ReduceMax", "ReduceMin") or not length:
                case(f"special_{op.lower()}{length}", op, {"x": data}, constants={"axes": np.array([1])})
    for op in ["ArgMax", "ArgMin"]:
        case(f"special_{op.lower()}", op, {"x": clean}, axis=1, types=[TensorProto.INT64])
        case(f"special_{op.lower()}_last", op, {"x": clean}, axis=1, select_last_index=1, types=[TensorProto.INT64])
    image = np.full((1, 1, 4, 4), -INF, np.float32)
    image[0, 0, 3, 3] = 2
    case("special_max_pool", "MaxPool", {"x": image}, kernel_shape=[2, 2])
    case("special_where", "Where", {"c": np.array([True, False]), "a": np.array([NAN, 1], np.float32), "b": np.array([1, INF], np.float32)})
    exact = np.array([0.0, 1.9, -1.9, 2.5, -0.0, 100.7, 255.0], np.float32)
    for name, kind in [("int32", TensorProto.INT32), ("int64", TensorProto.INT64), ("bool", TensorProto.BOOL), ("uint8", TensorProto.UINT8)]:
        values = np.abs(exact) if name == "uint8" else exact
        case(f"special_cast_{name}", "Cast", {"x": values}, to=kind, types=[kind])
    wide = np.array([0, 1, -1, 127, 128, 255, 256, -129, 1000], np.int32)
    for name, kind in [("int8", TensorProto.INT8), ("uint8", TensorProto.UINT8), ("bool", TensorProto.BOOL), ("float", FLOAT)]:
        case(f"special_cast_int_{name}", "Cast", {"x": wide}, to=kind, types=[kind])
    ends = np.array([0, 1, -1, 127, -128, 100], np.int8)
    for op in ["Neg", "Abs", "Sign"]:
        case(f"special_int8_{op.lower()}", op, {"x": ends}, types=[TensorProto.INT8])
    for op in ["Add", "Sub", "Mul", "Min", "Max"]:
        for array in (ends, ends.astype(np.uint8)):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            case(f"special_{array.dtype}_{op.lower()}", op, {"a": np.repeat(array, 6), "b": np.tile(array, 6)}, types=[kind])
    for op in ["ReduceMax", "ReduceMin"]:
        case(f"special_int8_{op.lower()}", op, {"x": ends.reshape(2, 3)}, constants={"axes": np.array([1])}, types=[TensorProto.INT8])
    case("special_int8_arg_max", "ArgMax", {"x": ends.reshape(2, 3)}, axis=1, types=[TensorProto.INT64])
    case("special_gather_negative", "Gather", {"x": floats(4, 3), "i": np.array([[-1, 0], [-4, 3]])}, axis=0)
    case("special_clip", "Clip", {"x": odd[odd == odd]}, constants={"lo": np.float32(-2), "hi": np.float32(INF)})


def quantised():
    x = np.concatenate([3 * floats(30), np.array([0.5, 1.5, 2.5, 1000, -1000, 0], np.float32)]).reshape(4, 9)
    zero = np.uint8(120)
    case("quantize_half_even", "QuantizeLinear", {"x": x}, constants={"s": np.float32(1.0), "z": zero}, types=[TensorProto.UINT8])
    case("dynamic_quantize", "DynamicQuantizeLinear", {"x": x}, ["y", "s", "z"], types=[TensorProto.UINT8, FLOAT, TensorProto.UINT8])
    a = RNG.integers(0, 256, (3, 700)).astype(np.uint8)
    b = RNG.integers(-128, 128, (700, 5)).astype(np.int8)
    case("matmul_integer_deep", "MatMulInteger", {"a": a, "b": b}, types=[TensorProto.INT32],
         constants={"az": np.uint8(255), "bz": np.int8(-128)})
    image = RNG.integers(0, 256, (1, 67, 5, 5)).astype(np.uint8)
    weight = RNG.integers(0, 256, (4, 67, 3, 3)).astype(np.uint8)
    case("conv_integer_deep", "ConvInteger", {"x": image, "w": weight}, types=[TensorProto.INT32],
         constants={"xz": np.uint8(3), "wz": np.uint8(200)}, pads=[1, 1, 1, 1])
    codes = RNG.integers(-128, 128, (5, 12)).astype(np.int8)
    scale = np.abs(floats(5, 3)) + 0.1
    zeros = RNG.integers(-8, 8, (5, 3)).astype(np.int8)
    case("dequantize_blocked", "DequantizeLinear", {"x": codes}, constants={"s": scale, "z": zeros}, axis=1, block_size=4, opset=21)


def spatial():
    x = floats(1, 2, 5, 4)
    for mode in ["constant", "reflect", "edge", "wrap"]:
        case(f"pad_{mode}", "Pad", {"x": x}, constants={"pads": np.array([0, 0, 2, 1, 0, 0, 1, 3])}, mode=mode, opset=19)
    for index, options in enumerate([
        dict(strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]), dict(strides=[3, 2], output_shape=[13, 9]),
        dict(strides=[2, 2], auto_pad="SAME_UPPER"), dict(strides=[2, 2], auto_pad="SAME_LOWER"), dict(group=2, dilations=[2, 1]),
    ]):
        weight = floats(2, 1 if options.get("group") else 3, 3, 3)
        case(f"conv_transpose_{index}", "ConvTranspose", {"x": x, "w": weight}, **options)
    sizes = {"sizes": np.array([1, 2, 9, 7])}
    for coordinates in ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]:
        for mode in ["nearest", "linear", "cubic"]:
            case(f"resize_{mode}_{coordinates}", "Resize", {"x": x}, constants=sizes, order=["x", "", "", "sizes"], mode=mode,
                 coordinate_transformation_mode=coordinates, nearest_mode="floor")
    case("resize_batch_nearest", "Resize", {"x": x}, constants={"sizes": np.array([2, 4, 5, 4])}, order=["x", "", "", "sizes"])
    for exclusive in (0, 1):
        for reverse in (0, 1):
            case(f"cumsum_{exclusive}{reverse}", "CumSum", {"x": floats(3, 4, 2)}, constants={"axis": np.int64(1)},
                 exclusive=exclusive, reverse=reverse)
    case("top_k_ties", "TopK", {"x": np.array([[1, 3, 3, -0.0, 0.0, 2]], np.float32)}, ["v", "i"],
         constants={"k": np.array([5])}, types=[FLOAT, TensorProto.INT64])


def decoders():
    """What language models are exported with: grouped queries with a cache, and tables that stay quantised."""
    heads, groups, size = 4, 2, 16
    cache = {"cos": np.cos(floats(12, size // 2)), "sin": np.sin(floats(12, size // 2))}

    def grouped(name, batch, new, past=0, packed=False, rotary=False, known=True, bias=False, half=None, **attributes):
        q = floats(batch, new, (heads + 2 * groups if packed else heads) * size)
        inputs = {"q": q}
        if not packed:
            inputs |= {"k": floats(batch, new, groups * size), "v": floats(batch, new, groups * size)}
        inputs |= {"past_k": floats(batch, groups, past, size), "past_v": floats(batch, groups, past, size)}
        lengths = {"last": np.full(batch, past + new - 1, np.int32), "total": np.array([past + new], np.int32)}
        order = ["q", *(["", ""] if packed else ["k", "v"]), "past_k", "past_v", "last", "total"]
        constants = lengths if known else {}
        if not known:
            inputs |= lengths
        if rotary:
            width = half or size // 2
            constants = constants | {k: np.ascontiguousarray(v[:, :width]) for k, v in cache.items()}
            order += ["cos", "sin"]
            attributes |= {"do_rotary": 1}
        if bias:
            order += [""] * (10 - len(order)) + ["bias"]
            inputs["bias"] = floats(1, heads, new, past + new)
        contrib(f"grouped_query_{name}", "GroupQueryAttention", inputs, ["y", "present_k", "present_v"], constants=constants, order=order,
                num_heads=heads, kv_num_heads=groups, **attributes)

    grouped("prompt", 2, 5)
    grouped("prompt_packed", 1, 5, packed=True)
    grouped("prompt_rotary", 2, 5, rotary=True)
    grouped("prompt_rotary_packed", 1, 7, packed=True, rotary=True, known=False)
    grouped("prompt_rotary_interleaved", 1, 5, rotary=True, rotary_interleaved=1)
    grouped("prompt_rotary_scale", 1, 3, rotary=True, scale=0.3)
    grouped("next", 2, 1, past=6)
    grouped("next_rotary", 2, 1, past=6, rotary=True, known=False)
    grouped("next_packed_rotary", 1, 1, past=3, packed=True, rotary=True)
    grouped("next_three", 1, 3, past=4, rotary=True)
    grouped("window", 1, 7, local_window_size=3)
    grouped("window_next", 1, 1, past=6, local_window_size=3, rotary=True)
    grouped("softcap", 2, 5, softcap=1.5)
    grouped("bias", 1, 5, bias=True)

    def nibbles(name, shape, signed):
        flat = RNG.integers(0, 16, int(np.prod(shape)))
        flat = np.concatenate([flat, np.zeros(len(flat) % 2, flat.dtype)])
        raw = (flat[0::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
        return helper.make_tensor(name, TensorProto.INT4 if signed else TensorProto.UINT4, shape, raw, raw=True)

    def table(name, kind, shape, block, gather=0, along=-1, zero=False, bits=None, indices=None):
        scales = list(shape)
        scales[along] = -(-scales[along] // block)
        constants = {"s": (np.abs(floats(*scales)) + 0.1).astype(np.float32)}
        if kind == "uint8":
            halve = lambda shape: [*shape[:-1], -(-shape[-1] // 2)] if bits == 4 else shape
            of = lambda n, shape: RNG.integers(0, 256, halve(shape)).astype(np.uint8)
        else:
            of = lambda n, shape: nibbles(n, shape, kind == "int4")
        constants = {"q": of("q", shape)} | constants | ({"z": of("z", scales)} if zero else {})
        indices = np.array([[0, 2], [1, -1]]) if indices is None else indices
        order = ["q", "i", "s"] + (["z"] if zero else [])
        options = {"bits": bits} if bits else {}
        contrib(f"gather_blocks_{name}", "GatherBlockQuantized", {"i": indices}, constants=constants, order=order, gather_axis=gather,
                quantize_axis=along, block_size=block, **options)

    for large in (False, True):
        for kind, bits in [("int4", None), ("uint4", None), ("uint8", 4), ("uint8", 8)]:
            name = f"{kind}_{bits}" if bits else kind
            if large:
                # More than main memory keeps.
                rows = 1100 if bits == 8 else 2100
                table(f"{name}_zero_large", kind, [rows, 64], 16, bits=bits, zero=True, indices=np.array([[rows - 1, 0, -rows]], np.int32))
            else:
                table(name, kind, [6, 48], 16, bits=bits)
                table(f"{name}_zero", kind, [6, 48], 16, bits=bits, zero=True)
    table("ragged", "int4", [6, 40], 16, zero=True)
    table("uint8_odd_blocks", "uint8", [6, 80], 16, bits=4, zero=True)
    table("middle", "int4", [3, 5, 32], 16, gather=1, along=2, zero=True)
    table("first", "int4", [32, 5, 6], 16, gather=1, along=0, zero=True)
    table("same_axis", "uint4", [40, 3], 16, gather=0, along=0, zero=True)
    table("wide", "uint8", [6, 5, 32], 16, along=2, bits=4, zero=True)
    # As exporters write the lengths: out of a mask of the prompt, which is an input.
    int32 = TensorProto.INT32
    nodes = [
        helper.make_node("ReduceSum", ["mask", "along"], ["tokens"], keepdims=0), helper.make_node("Sub", ["tokens", "one"], ["before"]),
        helper.make_node("Cast", ["before"], ["last"], to=int32), helper.make_node("Shape", ["mask"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["length"], axis=0), helper.make_node("Cast", ["length"], ["total"], to=int32),
        helper.make_node("GroupQueryAttention", ["q", "k", "v", "past_k", "past_v", "last", "total", "cos", "sin"], ["y", "keys", "values"],
                         domain=MS, num_heads=heads, kv_num_heads=groups, do_rotary=1)]
    for past, new in [(0, 3), (4, 1)]:
        inputs = {"mask": np.ones((2, past + new), np.int64), "q": floats(2, new, heads * size), "k": floats(2, new, groups * size),
                  "v": floats(2, new, groups * size), "past_k": floats(2, groups, past, size), "past_v": floats(2, groups, past, size)}
        outputs = {"y": FLOAT, "keys": FLOAT, "values": FLOAT}
        m = model(nodes, inputs, outputs, cache | {"along": np.array([1]), "one": np.array([1])})
        CASES.append(records_of(f"contrib_grouped_query_mask_{past}", m, (1e-3, 1e-5), inputs, dict(zip(outputs, run(m, inputs)))))


def random_graphs(count, seed):
    """Chains of operators over odd shapes: broadcasting, views, slices, reductions and products into each other."""
    rng = np.random.default_rng(seed)

    def pick(*options):
        return options[rng.integers(len(options))]

    for number in range(count):
        nodes, constants, values = [], {}, {}
        rank = int(rng.integers(2, 5))
        shape = [int(rng.choice([1, 2, 3, 4, 5, 7, 8, 13, 16])) for _ in range(rank)]
        inputs = {"x0": rng.standard_normal(shape).astype(np.float32), "x1": rng.standard_normal(shape[1:]).astype(np.float32)}
        values |= {name: value.shape for name, value in inputs.items()}

        def constant(array):
            name = f"c{len(constants)}"
            constants[name] = np.asarray(array)
            return name

        def add(op, operands, **attributes):
            """Appends a node if ONNX Runtime takes it, and learns the shape of its output."""
            name = f"v{len(nodes)}"
            trial = [*nodes, helper.make_node(op, operands, [name], **attributes)]
            try:
                (out,) = run(model(trial, inputs, {name: FLOAT}, constants), inputs)
            except Exception:  # noqa: BLE001 (an operand that does not fit)
                return
            if out.size and out.size < 4000 and np.isfinite(out).all() and np.abs(out).max() < 1e3:
                nodes.append(trial[-1])
                values[name] = out.shape

        for _ in range(40):
            if len(nodes) >= 10:
                break
            names = list(values)
            a, b = names[-1] if rng.random() < 0.7 else pick(*names), pick(*names)
            dims = values[a]
            if not dims:
                continue
            axis = int(rng.integers(-len(dims), len(dims)))
            match int(rng.integers(15)):
                case 0:
                    add(pick("Add", "Sub", "Mul", "Max", "Min"), [a, b])
                case 1:
                    add(pick("Sigmoid", "Tanh", "Relu", "Exp", "Abs", "Neg", "Erf", "Floor", "Softplus", "Sin"), [a])
                case 2:
                    add("Transpose", [a], perm=[int(p) for p in rng.permutation(len(dims))])
                case 3:
                    add(pick("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"), [a, constant([axis])], keepdims=int(rng.integers(2)))
                case 4:
                    add("Softmax", [a], axis=axis)
                case 5:
                    start, step = int(rng.integers(-3, 3)), pick(1, 1, 2, -1)
                    end = pick(2**31 - 1, -1) if step > 0 else -(2**31)
                    add("Slice", [a, constant([start]), constant([end]), constant([axis]), constant([step])])
                case 6:
                    add("Concat", [a, b], axis=axis)
                case 7:
                    add("Unsqueeze", [a, constant([axis])])
                case 8:
                    add("Reshape", [a, constant(pick([-1], [0, -1], [1, -1, 1], [-1, dims[-1]]))])
                case 9:
                    add("MatMul", [a, constant(rng.standard_normal((dims[-1], pick(1, 3, 8, 17))).astype(np.float32))])
                case 10:
                    add("Gather", [a, constant(rng.integers(-1, dims[axis], pick([2], [2, 3])))], axis=axis)
                case 11:
                    add("Pad", [a, constant(rng.integers(0, 3, 2 * len(dims)))], mode=pick("constant", "edge"))
                case 12:
                    add("LayerNormalization", [a, constant(rng.standard_normal(dims[-1:]).astype(np.float32))], axis=-1)
                case 13:
                    add("Expand", [a, constant([pick(1, 2, 3), *([1] * len(dims))])])
                case 14:
                    add("MatMul", [a, b])
        if not nodes:
            continue
        read = {name for node in nodes for name in node.input}
        outputs = {node.output[0]: FLOAT for node in nodes if node.output[0] not in read or rng.random() < 0.2}
        m = model(nodes, inputs, outputs, constants)
        expected = run(m, inputs)
        CASES.append(records_of(f"random_{seed}_{number:03}", m, (1e-3, 1e-4), inputs, dict(zip(outputs, expected))))


def random_images(count, seed):
    """What UNets and autoencoders are made of, joined at random: the patterns that fusion and layout passes rewrite."""
    rng = np.random.default_rng(seed)

    def chance(share=0.5):
        return bool(rng.random() < share)

    for number in range(count):
        nodes, constants = [], {}
        n, c = int(rng.integers(1, 3)), int(rng.choice([4, 6, 8]))
        h, w = (int(v) for v in rng.integers(3, 8, 2))
        inputs = {"x": rng.standard_normal((n, c, h, w)).astype(np.float32), "t": rng.standard_normal((n, 5)).astype(np.float32)}

        def weight(*shape):
            name = f"w{len(constants)}"
            constants[name] = (rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)
            return name

        def known(values):
            name = f"k{len(constants)}"
            constants[name] = np.array(values)
            return name

        def add(op, *operands, **attributes):
            name = f"v{len(nodes)}"
            nodes.append(helper.make_node(op, list(operands), [name], **attributes))
            return name

        def norm(x, c, h, w):
            groups = int(rng.choice([g for g in (1, 2, 3, 4, c) if c % g == 0]))
            view = add("Reshape", x, known([0, groups, -1]))
            ones, zeros = known(np.ones(groups, np.float32)), known(np.zeros(groups, np.float32))
            normal = add("InstanceNormalization", view, ones, zeros, epsilon=1e-5)
            back = add("Reshape", normal, known([n, c, h, w]))
            shape = (c, 1, 1) if chance() else (1, c, 1, 1)
            return add("Add", add("Mul", back, weight(*shape)), weight(*shape))

        def silu(x):
            gate = add("Sigmoid", x)
            return add("Mul", x, gate) if chance() else add("Mul", gate, x)

        def tokens(x, c, h, w):
            flat = add("Transpose", add("Reshape", x, known([n, c, h * w])), perm=[0, 2, 1])
            y = add("LayerNormalization", flat, weight(c), weight(c), axis=-1)
            if chance():
                y = attend(y, c, h * w)
            else:
                wide = add("Add", add("MatMul", y, weight(c, 2 * c)), weight(2 * c))
                erf = add("Erf", add("Div", wide, known(np.float32(np.sqrt(2)))))
                gelu = add("Mul", add("Mul", wide, add("Add", erf, known(np.float32(1)))), known(np.float32(0.5)))
                y = add("MatMul", gelu, weight(2 * c, c))
            y = add("Add", y, flat) if chance() else add("Add", flat, y)
            return add("Reshape", add("Transpose", y, perm=[0, 2, 1]), known([n, c, h, w]))

        def attend(y, c, length):
            heads = 2
            parts = []
            for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
                line = add("Reshape", add("MatMul", y, weight(c, c)), known([n, length, heads, c // heads]))
                parts.append(add("Transpose", line, perm=perm))
            scores = add("Mul", add("MatMul", parts[0], parts[1]), known(np.float32((c // heads) ** -0.5)))
            out = add("MatMul", add("Softmax", scores, axis=-1), parts[2])
            joined = add("Reshape", add("Transpose", out, perm=[0, 2, 1, 3]), known([n, length, c]))
            return add("Add", add("MatMul", joined, weight(c, c)), weight(c))

        x, kept = "x", []
        for _ in range(int(rng.integers(3, 7))):
            match int(rng.integers(8)):
                case 0 | 1:
                    out = int(rng.choice([3, 4, 6, 8]))
                    kernel = int(rng.choice([1, 3]))
                    operands = [x, weight(out, c, kernel, kernel)] + ([weight(out)] if chance(0.8) else [])
                    y = add("Conv", *operands, pads=[kernel // 2] * 4, kernel_shape=[kernel] * 2)
                    if out == c and chance():
                        y = add("Add", y, x)
                    x, c = silu(y) if chance() else y, out
                case 2:
                    x = norm(x, c, h, w)
                    x = silu(x) if chance(0.7) else x
                case 3:
                    if h * w < 80:
                        x = add("Resize", x, "", known(np.array([1, 1, 2, 2], np.float32)), mode="nearest",
                                coordinate_transformation_mode="asymmetric", nearest_mode="floor")
                        h, w = 2 * h, 2 * w
                        if chance(0.7):
                            x = add("Conv", x, weight(c, c, 3, 3), weight(c), pads=[1] * 4)
                case 4:
                    x = tokens(x, c, h, w) if c % 2 == 0 else x
                case 5:
                    t = add("Gemm", silu("t"), weight(c, 5), weight(c), transB=1)
                    x = add("Add", x, add("Unsqueeze", t, known([2, 3])))
                case 6:
                    kept.append((x, c, h, w))
                    if chance():
                        x = add("Conv", x, weight(c, c, 3, 3), weight(c), pads=[1] * 4, strides=[2, 2])
                        h, w = (h + 1) // 2, (w + 1) // 2
                case 7:
                    match = [k for k in kept if k[2:] == (h, w)]
                    if match and c + match[-1][1] <= 16:
                        x, c = add("Concat", x, match[-1][0], axis=1), c + match[-1][1]
        if not nodes:
            continue
        used = {name for node in nodes for name in node.input}
        outputs = {node.output[0]: FLOAT for node in nodes if node.output[0] not in used or rng.random() < 0.05}
        used = {k: v for k, v in inputs.items() if k in used}
        m = model(nodes, used, outputs, constants)
        expected = run(m, used)
        CASES.append(records_of(f"image_{seed}_{number:03}", m, (1e-3, 1e-4), used, dict(zip(outputs, expected))))


def main():
    if len(sys.argv) == 3:
        random_graphs(int(sys.argv[2]), int(sys.argv[1]))
        random_images(int(sys.argv[2]), int(sys.argv[1]))
        print(f"{len(CASES)} random graphs, {write('runtime_cases.pack', CASES)} bytes")
        return
    for part in (activations, norms, products, attentions, einsums, special_values, quantised, spatial, decoders):
        part()
    random_graphs(30, 1)
    random_images(40, 1)
    print(f"{len(CASES)} cases, {write('runtime_cases.pack', CASES)} bytes")


if __name__ == "__main__":
    main()
