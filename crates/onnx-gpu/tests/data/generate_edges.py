# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6", "ml_dtypes==0.6.0"]
# ///
"""Packs cases at the ends of what functions take and give: infinities, NaN, zeros of both signs, ties, halves, empty tensors.

usage: generate_edges.py [print]    writes edge_cases.pack beside this file, in the layout of node_cases.pack; with `print`, also
                                    what is expected

Every case is there twice: NAME takes its inputs at run time, NAME.folded has them as initializers, so that whatever can be computed
beforehand is. Expected values are ONNX Runtime's (all optimisations off), but where `expected` gives NumPy's because ONNX Runtime
leaves the specification, which the case then says.
"""
import sys
import warnings

import ml_dtypes
import numpy as np
from generate import records_of, write
from generate_runtime import FLOAT, model, run
from onnx import TensorProto, helper

warnings.filterwarnings("ignore")

F, H, I, L, B = np.float32, np.float16, np.int32, np.int64, ml_dtypes.bfloat16
INF, NAN = np.inf, np.nan
CASES = []
SKIPPED = []
# No subnormal numbers: a GPU may take them for zero.
ENDS = np.array([NAN, INF, -INF, 0.0, -0.0, 1.2e-38, -1.2e-38, 1e-30, -1e-30, 1e-8, -1e-8, 1e-4, -1e-4, 0.24, 0.26, -0.24, -0.26,
                 0.5, -0.5, 1.5, 2.5, -1.5, -2.5, 0.49999997, -0.49999997, 1.0, -1.0, 3.0, -3.0, 4.1, 8.0, -8.0, 9.5, -9.5, 15.0, -15.0, 17.0, 20.0, -20.0,
                 80.5, -80.5, 87.0, -87.0, 88.5, -88.5, 89.0, -89.0, 89.3, -89.3, 90.0, -90.0, 100.0, -100.0, 104.0, -104.0, 1e4, -1e4, 65504.0, 8388609.0,
                 -8388609.0, 1e10, -1e10, 1e19, -1e19, 2e19, -2e19, 1e30, -1e30, 3.4e38, -3.4e38], F)
KIND = helper.np_dtype_to_tensor_dtype


def case(name, nodes, inputs, outputs, tolerance=(2e-6, 1e-37), opset=20, constants=None, expected=None, fixed=()):
    """`nodes` are (operator, inputs, outputs, attributes); `outputs` gives types by name. Inputs in `fixed` are initializers in both."""
    nodes = [helper.make_node(op, i, o, **a) for op, i, o, a in nodes]
    inputs = {k: np.asarray(v) for k, v in inputs.items()}
    constants = dict(constants or {}) | {k: inputs[k] for k in fixed}
    free = {k: v for k, v in inputs.items() if k not in fixed}
    m = model(nodes, free, outputs, constants, opset)
    if expected is None:
        try:
            values = run(m, free)
        except Exception as error:
            SKIPPED.append(f"{name}: {str(error)[:150]}")
            return
    else:
        values = expected
    values = dict(zip(outputs, values))
    if "print" in sys.argv:
        print(name, {k: v.tolist() if v.size < 90 else v.shape for k, v in values.items()})
    CASES.append(records_of(name, m, tolerance, free, values))
    CASES.append(records_of(name + ".folded", model(nodes, {}, outputs, free | constants, opset), tolerance, {}, values))


def one(name, op, inputs, tolerance=(2e-6, 1e-37), to=FLOAT, opset=20, expected=None, fixed=(), **attributes):
    case(name, [(op, list(inputs), ["y"], attributes)], inputs, {"y": to}, tolerance, opset, expected=expected, fixed=fixed)


def of(f, x):
    """NumPy's function in double precision."""
    return [f(x.astype(np.float64)).astype(F)]


def unary():
    x = ENDS
    exact = (0.0, 0.0)
    for op in ("Abs", "Neg", "Sign", "Relu", "Floor", "Ceil", "Round", "Identity"):
        one(op.lower(), op, {"x": x}, exact)
    one("is_nan", "IsNaN", {"x": x}, exact, TensorProto.BOOL)
    for sides in ((0, 1), (1, 0), (1, 1), (0, 0)):
        one(f"is_inf_{sides[0]}{sides[1]}", "IsInf", {"x": x}, exact, TensorProto.BOOL, detect_negative=sides[0], detect_positive=sides[1])
    for op, function in {"Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Reciprocal": lambda v: 1 / v, "Atan": np.arctan, "Sinh": np.sinh, "Cosh": np.cosh,
                         "Asinh": np.arcsinh, "Acosh": np.arccosh, "Atanh": np.arctanh, "Asin": np.arcsin, "Acos": np.arccos}.items():
        one(op.lower(), op, {"x": x}, (1e-5, 1e-6 if op in ("Asin", "Acos") else 1e-37), expected=of(function, x))
    # Of huge arguments ONNX Runtime's own reduction is exact too.
    for op, function in {"Sin": np.sin, "Cos": np.cos}.items():
        one(op.lower(), op, {"x": x}, (1e-5, 1e-6), expected=of(function, x))
    one("tan", "Tan", {"x": x}, (2e-5, 1e-6), expected=of(np.tan, x))
    one("tanh", "Tanh", {"x": x}, (1e-6, 1e-37), expected=of(np.tanh, x))
    sigmoid = lambda v: np.where(v > 0, 1 / (1 + np.exp(-v)), np.exp(v) / (1 + np.exp(v)))
    one("sigmoid", "Sigmoid", {"x": x}, (1e-5, 1e-37), expected=[np.where(x == INF, 1, sigmoid(x.astype(np.float64))).astype(F)])
    one("softplus", "Softplus", {"x": x}, (1e-5, 1e-37), expected=of(lambda v: np.logaddexp(0, v), x))
    for op, attributes in (("LeakyRelu", {"alpha": 0.1}), ("ThresholdedRelu", {"alpha": 1.0}), ("Softsign", {}), ("HardSigmoid", {})):
        one(op.lower(), op, {"x": x}, (1e-5, 1e-37), **attributes)
    # ONNX Runtime subtracts 1 from the exponential, which leaves few digits of small numbers.
    below = lambda v: np.expm1(np.minimum(v, 0))
    one("elu", "Elu", {"x": x}, (1e-5, 1e-37), expected=of(lambda v: np.where(v < 0, 1.5 * below(v), v), x), alpha=1.5)
    one("celu", "Celu", {"x": x}, (1e-5, 1e-37), expected=of(lambda v: np.where(v < 0, 2 * below(v / 2), v), x), alpha=2.0)
    gamma, alpha = 1.05070102214813232421875, 1.67326319217681884765625
    one("selu", "Selu", {"x": x}, (1e-5, 1e-37), expected=of(lambda v: gamma * np.where(v < 0, alpha * below(v), v), x))
    one("hard_swish", "HardSwish", {"x": x}, (1e-5, 1e-37), expected=[np.where(x == -INF, NAN, (x.astype(np.float64) * np.clip(x.astype(np.float64) / 6 + 0.5, 0, 1))).astype(F)])
    one("erf", "Erf", {"x": x}, (1e-5, 1e-37))
    for approximate in ("none", "tanh"):
        one(f"gelu_{approximate}", "Gelu", {"x": x}, (2e-5, 2e-6), approximate=approximate)
    one("mish", "Mish", {"x": x}, (2e-5, 1e-35), expected=[(x.astype(np.float64) * np.tanh(np.logaddexp(0, x.astype(np.float64)))).astype(F)])
    for low, high in ((-1.0, 2.0), (None, 2.0), (-1.0, None), (None, None), (2.0, -1.0), (-INF, INF)):
        bounds = {k: F(v) for k, v in (("low", low), ("high", high)) if v is not None}
        names = ["x", "low" if low is not None else "", "high" if high is not None else ""]
        while not names[-1]:
            names.pop()
        case(f"clip_{low}_{high}", [("Clip", names, ["y"], {})], {"x": x} | bounds, {"y": FLOAT}, exact)


def binary():
    v = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, 1e-20, -1e-20, 1e20, -1e20, 3e38], F)
    a, b = (m.ravel() for m in np.meshgrid(v, v, indexing="ij"))
    for op in ("Add", "Sub", "Mul", "Div"):
        one(op.lower(), op, {"a": a, "b": b}, (3e-7, 1e-37))
    for op in ("Min", "Max"):
        one(op.lower(), op, {"a": a, "b": b}, (0.0, 0.0), expected=[{"Min": np.minimum, "Max": np.maximum}[op](a, b)])
    for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        one(op.lower(), op, {"a": a, "b": b}, (0.0, 0.0), TensorProto.BOOL)
    one("pow", "Pow", {"a": a, "b": b}, (1e-5, 1e-37), expected=[np.power(a.astype(np.float64), b.astype(np.float64)).astype(F)])
    one("fmod", "Mod", {"a": a, "b": b}, (0.0, 0.0), fmod=1)
    one("prelu", "PRelu", {"a": a, "b": b}, (3e-7, 1e-37))
    for exponent in (2.0, 3.0, 0.5, -1.0, 0.0, 1.0, INF, -INF, NAN):
        one(f"pow_{exponent}", "Pow", {"a": ENDS, "b": np.array(exponent, F)}, (1e-5, 1e-37), fixed=("b",),
            expected=[np.power(ENDS.astype(np.float64), np.full(ENDS.shape, exponent)).astype(F)])
    c = np.arange(len(a)) % 3 == 0
    one("where", "Where", {"c": c, "a": a, "b": b}, (0.0, 0.0))
    whole = np.array([-7, -3, -1, 0, 1, 2, 3, 7, 100, -100], L)
    i, j = (m.ravel() for m in np.meshgrid(whole, whole, indexing="ij"))
    for kind in (I, L):
        p, q = i.astype(kind), j.astype(kind)
        to = KIND(np.dtype(kind))
        for op in ("Add", "Sub", "Mul", "Min", "Max"):
            one(f"{op.lower()}_{np.dtype(kind)}", op, {"a": p, "b": q}, to=to)
        keep = q != 0
        one(f"div_{np.dtype(kind)}", "Div", {"a": p[keep], "b": q[keep]}, to=to)
        for fmod in (0, 1):
            one(f"mod{fmod}_{np.dtype(kind)}", "Mod", {"a": p[keep], "b": q[keep]}, to=to, fmod=fmod)
        keep = (q >= 0) & (q < 5) & (abs(p) < 10)
        one(f"pow_{np.dtype(kind)}", "Pow", {"a": p[keep], "b": q[keep]}, to=to)
    ends = np.array([2**31 - 1, -2**31, 2**31 - 1, -2**31], I)
    for op in ("Add", "Sub", "Mul"):
        one(f"{op.lower()}_wraps", op, {"a": ends, "b": np.array([1, -1, 2, 3], I)}, to=TensorProto.INT32)
    one("neg_wraps", "Neg", {"x": ends}, to=TensorProto.INT32)
    for kind in (np.uint8, np.int8):
        p = np.array([200, 100, 127, 128, 255], np.int32).astype(kind)
        for op in ("Add", "Sub", "Mul"):
            one(f"{op.lower()}_{np.dtype(kind)}", op, {"a": p, "b": p[::-1]}, to=KIND(np.dtype(kind)), expected=[{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[op](p, p[::-1])])


def casts():
    x = np.array([NAN, INF, -INF, 3e9, -3e9, 300, -300, -1.5, 1.5, 0.3, -0.3, 1e20, 2147483520.0, -2147483648.0, 70000, -0.0, 0.0, 255.9, -128.9, 1e-40], F)
    types = {"int32": TensorProto.INT32, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "bool": TensorProto.BOOL, "float16": TensorProto.FLOAT16}
    for to, kind in types.items():
        one(f"cast_float_to_{to}", "Cast", {"x": x[:-1]}, (0.0, 0.0), kind, to=kind) if False else case(
            f"cast_float_to_{to}", [("Cast", ["x"], ["y"], {"to": kind})], {"x": x[:-1]}, {"y": kind}, (0.0, 0.0))
    near = x[np.abs(np.nan_to_num(x, nan=1e30, posinf=1e30, neginf=1e30)) < 2**31]
    case("cast_float_to_int64", [("Cast", ["x"], ["y"], {"to": TensorProto.INT64})], {"x": near}, {"y": TensorProto.INT64}, (0.0, 0.0))
    h = np.array([NAN, INF, -INF, 65504, -65504, 300, -300, 1.5, -1.5, 0.0, -0.0, 6e-8, 0.3], H)
    for to, kind in (types | {"float": FLOAT}).items():
        if to != "float16":
            case(f"cast_half_to_{to}", [("Cast", ["x"], ["y"], {"to": kind})], {"x": h}, {"y": kind}, (0.0, 0.0))
    whole = np.array([300, -1, -129, 128, 0, 65519, 65520, 2049, 2051, -65520, 2**31 - 1, -2**31], L)
    for to, kind in (types | {"float": FLOAT}).items():
        for source in (I, L):
            case(f"cast_{np.dtype(source)}_to_{to}", [("Cast", ["x"], ["y"], {"to": kind})], {"x": whole.astype(source)}, {"y": kind}, (0.0, 0.0))
    for source in (np.uint8, np.int8, np.bool_):
        for to, kind in (types | {"float": FLOAT, "int64": TensorProto.INT64}).items():
            if KIND(np.dtype(source)) != kind:
                case(f"cast_{np.dtype(source)}_to_{to}", [("Cast", ["x"], ["y"], {"to": kind})], {"x": np.array([0, 1, 100, 127], np.uint8).astype(source)}, {"y": kind}, (0.0, 0.0))


def brains():
    """Casts to and from bfloat16, which round to nearest, ties to even; ONNX Runtime rounds the same, and flushes nothing."""
    exact = (0.0, 0.0)
    half, brain = TensorProto.FLOAT16, TensorProto.BFLOAT16
    ties = [1.00390625, 1.01171875, 1.0039063692092896, 1.0039061307907104, -1.00390625, -1.01171875]
    x = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -2.5, 1 / 3, -0.1, *ties, 255.0, 257.0, 259.0, 65504.0, 1e-30, -1e30, 3.38e38, 3.39e38, 3.3961775e38, -3.4028235e38], F)
    b = x.astype(B)
    whole = np.array([300, -1, -129, 128, 0, 257, 259, 261, -257, 65535, 2**24 + 2**16, 2**31 - 1, -2**31], L)
    case("brain_round_trip", [("Cast", ["x"], ["b"], {"to": brain}), ("Cast", ["b"], ["y"], {"to": FLOAT})], {"x": x}, {"y": FLOAT}, exact, expected=[b.astype(F)])
    case("brain_output", [("Cast", ["x"], ["y"], {"to": brain})], {"x": x}, {"y": brain}, exact, expected=[b])
    case("brain_input", [("Cast", ["x"], ["y"], {"to": FLOAT})], {"x": b}, {"y": FLOAT}, exact, expected=[b.astype(F)])
    h = np.array([NAN, INF, -INF, 65504, 0.3, -0.0, 2049.0, 2051.0, 1.0039, 1e-4], H)
    case("half_to_brain", [("Cast", ["x"], ["b"], {"to": brain}), ("Cast", ["b"], ["y"], {"to": FLOAT})], {"x": h}, {"y": FLOAT}, exact, expected=[h.astype(F).astype(B).astype(F)])
    # A half that a kernel computed is rounded before.
    sums = (h.astype(F) + F(H(0.1))).astype(H)
    case("half_sum_to_brain", [("Add", ["x", "k"], ["s"], {}), ("Cast", ["s"], ["y"], {"to": brain})], {"x": h}, {"y": brain}, exact, constants={"k": H(0.1)}, expected=[sums.astype(F).astype(B)])
    case("brain_to_half", [("Cast", ["x"], ["y"], {"to": half})], {"x": b}, {"y": half}, exact, expected=[b.astype(F).astype(H)])
    near = b[np.abs(np.nan_to_num(b.astype(F), nan=1e30, posinf=1e30, neginf=1e30)) < 2**31]
    case("brain_to_int32", [("Cast", ["x"], ["y"], {"to": TensorProto.INT32})], {"x": near}, {"y": TensorProto.INT32}, exact, expected=[near.astype(F).astype(I)])
    case("brain_to_bool", [("Cast", ["x"], ["y"], {"to": TensorProto.BOOL})], {"x": b}, {"y": TensorProto.BOOL}, exact, expected=[b.astype(F) != 0])
    for source in (I, L):
        case(f"{np.dtype(source)}_to_brain", [("Cast", ["x"], ["y"], {"to": brain})], {"x": whole.astype(source)}, {"y": brain}, exact, expected=[whole.astype(F).astype(B)])
    m = np.arange(12, dtype=F).reshape(3, 4).astype(B)
    case("brain_moves", [("Transpose", ["x"], ["t"], {}), ("Gather", ["t", "i"], ["g"], {"axis": 0}), ("Concat", ["g", "g"], ["y"], {"axis": 1})], {"x": m}, {"y": brain}, exact,
         constants={"i": np.array([3, 0, -2], L)}, expected=[np.concatenate([m.T[[3, 0, -2]]] * 2, 1)])


def halves():
    """Tensors of 16 bits: NumPy rounds after every operator."""
    x = np.array([1e-12, 1.234567e5, 65519.0, 65520.0, 0.1, 1 / 3, 2049.0, 2051.0, -70000.0, 6e-8, 2.9e-8, 3.1e-8, 6.1e-5, NAN, INF, -0.0], F)
    h = x.astype(H)
    half, full, truth = TensorProto.FLOAT16, FLOAT, TensorProto.BOOL
    there, back = ("Cast", ["x"], ["h"], {"to": half}), ("Cast", ["r"], ["y"], {"to": full})
    exact = (0.0, 0.0)

    def chain(name, nodes, constants, expected, out=full):
        case("half_" + name, [there, *nodes], {"x": x}, {"y": out}, exact, constants=constants, fixed=(), expected=[np.asarray(expected)])

    chain("round_trip", [("Cast", ["h"], ["y"], {"to": full})], {}, h.astype(F))
    chain("output", [("Identity", ["h"], ["y"], {})], {}, h, half)
    k = {"k": H(0.1)}
    for op, function in {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}.items():
        r = function(h.astype(F), F(k["k"])).astype(H)
        chain(op.lower(), [(op, ["h", "k"], ["r"], {}), back], k, r.astype(F))
        chain(op.lower() + "_output", [(op, ["h", "k"], ["y"], {})], k, r, half)
    for op, function in {"Equal": np.equal, "Less": np.less, "Greater": np.greater, "LessOrEqual": np.less_equal, "GreaterOrEqual": np.greater_equal}.items():
        chain(op.lower(), [(op, ["h", "k"], ["y"], {})], k, function(h, k["k"]), truth)
    chain("is_inf", [("IsInf", ["h"], ["y"], {})], {}, np.isinf(h), truth)
    chain("is_nan", [("IsNaN", ["h"], ["y"], {})], {}, np.isnan(h), truth)
    double = {"two": H(2), "half": H(0.5)}
    inner = ((h.astype(F) * 2).astype(H).astype(F) * F(0.5)).astype(H)
    chain("overflow_between", [("Mul", ["h", "two"], ["d"], {}), ("Mul", ["d", "half"], ["r"], {}), back], double, inner.astype(F))
    sums = ((h.astype(F) * 2).astype(H).astype(F) + F(-60000)).astype(H)
    chain("product_and_sum", [("Mul", ["h", "two"], ["d"], {}), ("Add", ["d", "far"], ["r"], {}), back], double | {"far": H(-60000)}, sums.astype(F))
    finite = np.array([0.1, 0.2, 0.3, 100.3, 300.7, -0.7], F)
    g = finite.astype(H)
    for op, function in {"Exp": np.exp, "Sqrt": np.sqrt, "Sigmoid": lambda v: 1 / (1 + np.exp(-v)), "Tanh": np.tanh}.items():
        r = function(g.astype(np.float64)).astype(H).astype(F)
        case(f"half_{op.lower()}", [there, (op, ["h"], ["r"], {}), back], {"x": finite}, {"y": full}, (1e-3, 1e-4), expected=[r])
    case("half_floor", [there, ("Floor", ["h"], ["r"], {}), back], {"x": np.array([0.99999, 1.99999, 2047.99, -0.00001], F)}, {"y": full}, exact,
         expected=[np.floor(np.array([0.99999, 1.99999, 2047.99, -0.00001], F).astype(H)).astype(F)])
    ties = np.array([[1.0, 1.0001, 0.99999, 1.0002]], F)
    case("half_arg_max", [there, ("ArgMax", ["h"], ["y"], {"axis": 1})], {"x": ties}, {"y": TensorProto.INT64}, exact, expected=[np.argmax(ties.astype(H), 1)[:, None].astype(L)])
    rows = np.array([[60000, 60000, 10], [0.1, 0.2, 0.3]], F)
    case("half_reduce_sum", [there, ("ReduceSum", ["h", "axes"], ["r"], {}), back], {"x": rows}, {"y": full}, (1e-3, 0.0), constants={"axes": np.array([1])},
         expected=[rows.astype(H).astype(F).sum(1, keepdims=True).astype(H).astype(F)])
    product = np.array([[300.0, 300.0], [0.1, 0.2]], F)
    case("half_matmul", [there, ("MatMul", ["h", "h"], ["r"], {}), back], {"x": product}, {"y": full}, (1e-3, 0.0),
         expected=[(product.astype(H).astype(F) @ product.astype(H).astype(F)).astype(H).astype(F)])
    case("half_input_and_output", [("Mul", ["a", "b"], ["y"], {})], {"a": g, "b": g}, {"y": half}, exact, expected=[(g.astype(F) * g.astype(F)).astype(H)])
    case("half_max", [there, ("Max", ["h", "k"], ["r"], {}), back], {"x": x}, {"y": full}, exact, constants=k, expected=[np.maximum(h, k["k"]).astype(F)])
    case("half_where", [there, ("Where", ["c", "h", "k"], ["r"], {}), back], {"x": x}, {"y": full}, exact, constants=k | {"c": np.arange(16) % 2 == 0},
         expected=[np.where(np.arange(16) % 2 == 0, h, k["k"]).astype(F)])
    wide, again = ("Cast", ["h"], ["w"], {"to": full}), ("Cast", ["p"], ["r"], {"to": half})
    case("half_pad", [there, wide, ("Pad", ["w", "sides", "fill"], ["p"], {}), again, back], {"x": x}, {"y": full}, exact,
         constants={"sides": np.array([1, 0], L), "fill": F(0.1)}, expected=[np.concatenate([[H(0.1)], h]).astype(F)])
    case("half_concat", [there, ("Concat", ["h", "h"], ["r"], {"axis": 0}), back], {"x": x}, {"y": full}, exact, expected=[np.concatenate([h, h]).astype(F)])


def reductions():
    rows = np.array([[1000, 1000, 999, 0], [-1000, -1001, -1000, -999], [88, 89, 90, 91], [-INF, -INF, -INF, -INF], [INF, 1, 2, 3], [INF, -INF, 1, 2],
                     [NAN, 1, 2, 3], [3, NAN, -INF, 1], [1, 2, INF, NAN], [0, 0, -0.0, 0], [3e38, 3e38, 1, -1], [1e-30, 1e-30, 1e-30, 0], [-INF, 0, 1, 2],
                     [1e20, 1e20, -1e20, 3], [2, 5, 5, 1], [-3, -3, -7, -7]], F)
    d = rows.astype(np.float64)
    with np.errstate(all="ignore"):
        top = d.max(1, keepdims=True)
        shift = np.where(np.isfinite(top), top, 0)
        lse = shift + np.log(np.exp(d - shift).sum(1, keepdims=True))
        single = lambda v: np.where(np.abs(v) > np.finfo(F).max, np.sign(v) * INF, v).astype(F)
        wanted = {"ReduceSum": d.sum(1, keepdims=True), "ReduceMean": None, "ReduceMax": np.max(rows, 1, keepdims=True), "ReduceMin": np.min(rows, 1, keepdims=True),
                  "ReduceL1": np.abs(d).sum(1, keepdims=True), "ReduceLogSumExp": lse, "ReduceLogSum": np.log(d.sum(1, keepdims=True)), "ReduceProd": d.prod(1, keepdims=True)}
    axes = {"axes": np.array([1], L)}
    plain = np.ones(len(rows), bool)
    # Sums that overflow on the way depend on the order: not these.
    plain[[10, 13]] = False
    small = plain.copy()
    small[[11]] = False
    for op, value in wanted.items():
        keep = plain if op not in ("ReduceProd",) else small
        expected = [single(np.asarray(value, np.float64)[keep])] if value is not None else None
        one(op.lower(), op, {"x": rows[keep], **axes}, (1e-5, 1e-30), fixed=("axes",), expected=expected)
    one("reducelogsumexp_large", "ReduceLogSumExp", {"x": rows, **axes}, (1e-5, 1e-30), fixed=("axes",), expected=[single(lse)])
    for op in ("ReduceL2", "ReduceSumSquare"):
        keep = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15])
        value = np.square(d[keep]).sum(1, keepdims=True)
        one(op.lower(), op, {"x": rows[keep], **axes}, (1e-5, 1e-30), fixed=("axes",), expected=[single(np.sqrt(value) if op == "ReduceL2" else value)])
    whole = np.array([[7, -3, 2], [-7, 3, -2], [1, 1, 0], [-1, -1, 0]], L)
    for kind in (I, L):
        for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"):
            # NumPy's `//` floors; integers are divided as C does.
            expected = [np.trunc(whole.sum(1, keepdims=True) / 3).astype(kind)] if op == "ReduceMean" else None
            one(f"{op.lower()}_{np.dtype(kind)}", op, {"x": whole.astype(kind), **axes}, to=KIND(np.dtype(kind)), fixed=("axes",), expected=expected)
    ranked = np.array([[1, 3, 3, 2], [-INF, -INF, -INF, -INF], [INF, 1, INF, 2], [0.0, -0.0, 0.0, -0.0], [5, 5, 5, 5]], F)
    for op in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            one(f"{op.lower()}_{last}", op, {"x": ranked}, to=TensorProto.INT64, axis=1, select_last_index=last)
    for largest in (0, 1):
        case(f"top_k_{largest}", [("TopK", ["x", "k"], ["y", "i"], {"largest": largest})], {"x": ranked}, {"y": FLOAT, "i": TensorProto.INT64}, (0.0, 0.0), constants={"k": np.array([3])})
    line = np.array([[1, INF, 2, -INF, 3], [1, NAN, 2, 3, 4], [1e38, 1e38, 1e38, 1e38, -1e38], [1, 2, 3, 4, 5]], F)
    for exclusive in (0, 1):
        for reverse in (0, 1):
            case(f"cumsum_{exclusive}{reverse}", [("CumSum", ["x", "axis"], ["y"], {"exclusive": exclusive, "reverse": reverse})], {"x": line}, {"y": FLOAT}, (1e-6, 1e-30),
                 constants={"axis": np.array(1, L)})
    scores = np.array([[-INF, 0, 1, -INF], [1000, 999, -1000, 0], [-1000, -1001, -1002, -1003], [3e38, -3e38, 0, 1], [88, 89, 90, 91], [NAN, 1, 2, 3], [INF, 1, 2, 3], [-INF, -INF, -INF, -INF],
                       [-3.4e38, -3.4e38, -3.4e38, -3.4e38]], F)
    for op in ("Softmax", "LogSoftmax"):
        with np.errstate(all="ignore"):
            s = scores.astype(np.float64)
            below = s - s.max(1, keepdims=True)
            total = np.exp(below).sum(1, keepdims=True)
            expected = np.exp(below) / total if op == "Softmax" else below - np.log(total)
        one(op.lower(), op, {"x": scores}, (1e-5, 1e-30), axis=1, expected=[single(expected)])
        one(op.lower() + "_columns", op, {"x": scores.T.copy()}, (1e-5, 1e-30), axis=0, expected=[single(expected).T.copy()])


def pools():
    """Windows that hang over the edge, as opset 19 counts them (ONNX Runtime 1.16 did not yet)."""
    shapes = {"square": ((1, 1, 4, 4), [3, 3], [2, 2], [1, 1, 1, 1]), "wide": ((1, 1, 2, 9), [3, 3], [2, 2], [1, 1, 1, 1]),
              "corner": ((1, 1, 7, 5), [4, 4], [3, 3], [1, 1, 1, 1]), "line": ((1, 1, 9), [7], [3], [3, 3])}
    for name, (shape, kernel, strides, pads) in shapes.items():
        x = np.arange(1, 1 + np.prod(shape), dtype=F).reshape(shape)
        for counted in (0, 1):
            one(f"average_pool_{name}_{counted}", "AveragePool", {"x": x}, (1e-6, 0.0), ceil_mode=1, count_include_pad=counted, kernel_shape=kernel, strides=strides, pads=pads)
    one("max_pool_nan", "MaxPool", {"x": np.array([[[1, 2, NAN, 3, 4, -INF, -INF]]], F)}, (0.0, 0.0), kernel_shape=[2], expected=[np.array([[[2, NAN, NAN, 4, 4, -INF]]], F)])


def order_of_nan():
    """NumPy: a NaN stays in a maximum and in a minimum, and is the first of the largest and of the smallest."""
    rows = np.array([[1, NAN, 3, NAN], [NAN, 1, 2, INF], [3, -INF, 1, NAN]], F)
    axes = {"axes": np.array([1], L)}
    for op, function in {"ReduceMax": np.max, "ReduceMin": np.min}.items():
        one(op.lower() + "_nan", op, {"x": rows, **axes}, (0.0, 0.0), fixed=("axes",), expected=[function(rows, 1, keepdims=True)])
    for op, function in {"ArgMax": np.argmax, "ArgMin": np.argmin}.items():
        one(op.lower() + "_nan", op, {"x": rows}, to=TensorProto.INT64, axis=1, expected=[function(rows, 1)[:, None].astype(L)])
        last = 3 - function(rows[:, ::-1], 1)[:, None].astype(L)
        one(op.lower() + "_nan_last", op, {"x": rows}, to=TensorProto.INT64, axis=1, select_last_index=1, expected=[last])
    # As NumPy's sort has it, a NaN is larger than any number.
    case("top_k_nan", [("TopK", ["x", "k"], ["y", "i"], {})], {"x": rows}, {"y": FLOAT, "i": TensorProto.INT64}, (0.0, 0.0), constants={"k": np.array([2])},
         expected=[np.array([[NAN, NAN], [NAN, INF], [NAN, 3]], F), np.array([[1, 3], [0, 3], [3, 0]], L)])


def empties():
    """Tensors without elements, and reductions over no element."""
    none = np.zeros((2, 0, 3), F)
    axes = {"axes": np.array([1], L)}
    for op, value in {"ReduceSum": 0, "ReduceProd": 1, "ReduceL1": 0, "ReduceL2": 0, "ReduceSumSquare": 0, "ReduceLogSum": -INF, "ReduceLogSumExp": -INF}.items():
        for keep in (0, 1):
            shape = (2, 1, 3) if keep else (2, 3)
            one(f"empty_{op.lower()}_{keep}", op, {"x": none, **axes}, (0.0, 0.0), fixed=("axes",), keepdims=keep, expected=[np.full(shape, value, F)])
    # The specification: the lowest and the highest number of the type.
    for op, value in {"ReduceMax": -INF, "ReduceMin": INF}.items():
        one(f"empty_{op.lower()}", op, {"x": none, **axes}, (0.0, 0.0), fixed=("axes",), expected=[np.full((2, 1, 3), value, F)])
    for op, value in {"ReduceSum": 0, "ReduceProd": 1, "ReduceMax": -2**31, "ReduceMin": 2**31 - 1}.items():
        one(f"empty_{op.lower()}_int32", op, {"x": none.astype(I), **axes}, (0.0, 0.0), TensorProto.INT32, fixed=("axes",), expected=[np.full((2, 1, 3), value, I)])
    # Every reduction of a tensor whose kept axes are empty is empty.
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceLogSumExp", "ReduceL2"):
        one(f"empty_kept_{op.lower()}", op, {"x": none, "axes": np.array([2], L)}, (0.0, 0.0), fixed=("axes",), expected=[np.zeros((2, 0, 1), F)])
    one("empty_matmul", "MatMul", {"a": np.zeros((2, 0), F), "b": np.zeros((0, 3), F)}, (0.0, 0.0), expected=[np.zeros((2, 3), F)])
    one("empty_matmul_rows", "MatMul", {"a": np.zeros((0, 2), F), "b": np.zeros((2, 3), F)}, (0.0, 0.0), expected=[np.zeros((0, 3), F)])
    one("empty_gemm", "Gemm", {"a": np.zeros((2, 0), F), "b": np.zeros((0, 3), F), "c": np.array([1, 2, 3], F)}, (0.0, 0.0), expected=[np.array([[1, 2, 3]] * 2, F)])
    for op in ("Relu", "Exp", "Softmax", "LogSoftmax", "Gelu", "Identity", "Neg"):
        one(f"empty_{op.lower()}", op, {"x": none}, (0.0, 0.0), expected=[none])
    one("empty_softmax_inner", "Softmax", {"x": none}, (0.0, 0.0), axis=1, expected=[none])
    one("empty_add", "Add", {"a": none, "b": np.zeros((3,), F)}, (0.0, 0.0), expected=[none])
    one("empty_where", "Where", {"c": np.ones((1, 1, 1), bool), "a": none, "b": np.zeros((3,), F)}, (0.0, 0.0), expected=[none])
    one("empty_transpose", "Transpose", {"x": none}, (0.0, 0.0), expected=[none.transpose()])
    case("empty_concat", [("Concat", ["a", "b"], ["y"], {"axis": 1})], {"a": none, "b": np.ones((2, 2, 3), F)}, {"y": FLOAT}, (0.0, 0.0))
    case("empty_gather", [("Gather", ["x", "i"], ["y"], {"axis": 0})], {"x": np.ones((2, 3), F), "i": np.zeros((0,), L)}, {"y": FLOAT}, (0.0, 0.0))
    case("empty_cumsum", [("CumSum", ["x", "axis"], ["y"], {})], {"x": none}, {"y": FLOAT}, (0.0, 0.0), constants={"axis": np.array(1, L)}, expected=[none])
    case("empty_top_k", [("TopK", ["x", "k"], ["y", "i"], {"axis": 1})], {"x": none}, {"y": FLOAT, "i": TensorProto.INT64}, (0.0, 0.0), constants={"k": np.array([0])},
         expected=[none, none.astype(L)])
    case("empty_pad", [("Pad", ["x", "p", "v"], ["y"], {})], {"x": none}, {"y": FLOAT}, (0.0, 0.0), constants={"p": np.array([0, 1, 0, 0, 2, 0], L), "v": F(7)},
         expected=[np.full((2, 3, 3), 7, F)])
    case("empty_tile", [("Tile", ["x", "r"], ["y"], {})], {"x": np.ones((2, 3), F)}, {"y": FLOAT}, (0.0, 0.0), constants={"r": np.array([2, 0], L)}, expected=[np.zeros((4, 0), F)])
    case("empty_expand", [("Expand", ["x", "s"], ["y"], {})], {"x": np.ones((1, 3), F)}, {"y": FLOAT}, (0.0, 0.0), constants={"s": np.array([0, 3], L)}, expected=[np.zeros((0, 3), F)])
    case("empty_split", [("Split", ["x", "s"], ["y", "z"], {"axis": 1})], {"x": np.ones((2, 3), F)}, {"y": FLOAT, "z": FLOAT}, (0.0, 0.0), constants={"s": np.array([0, 3], L)})
    case("empty_layer_norm", [("LayerNormalization", ["x", "s"], ["y"], {})], {"x": np.zeros((0, 4), F), "s": np.ones(4, F)}, {"y": FLOAT}, (0.0, 0.0), expected=[np.zeros((0, 4), F)])
    case("empty_conv", [("Conv", ["x", "w"], ["y"], {})], {"x": np.zeros((0, 2, 5, 5), F), "w": np.ones((3, 2, 3, 3), F)}, {"y": FLOAT}, (0.0, 0.0), expected=[np.zeros((0, 3, 3, 3), F)])
    case("empty_max_pool", [("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2]})], {"x": np.zeros((0, 2, 5, 5), F)}, {"y": FLOAT}, (0.0, 0.0), expected=[np.zeros((0, 2, 4, 4), F)])
    case("empty_global_average", [("GlobalAveragePool", ["x"], ["y"], {})], {"x": np.zeros((0, 2, 5, 5), F)}, {"y": FLOAT}, (0.0, 0.0), expected=[np.zeros((0, 2, 1, 1), F)])
    case("empty_arg_max", [("ArgMax", ["x"], ["y"], {"axis": 2})], {"x": none}, {"y": TensorProto.INT64}, (0.0, 0.0), expected=[np.zeros((2, 0, 1), L)])


def main():
    for part in (unary, binary, casts, halves, brains, reductions, order_of_nan, pools, empties):
        part()
    print(*SKIPPED, sep="\n")
    print(f"{len(CASES)} cases, {write('edge_cases.pack', CASES)} bytes")


if __name__ == "__main__":
    main()
