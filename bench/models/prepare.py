# /// script
# requires-python = ">=3.10"
# dependencies = ["onnx", "onnxruntime", "numpy"]
# ///
"""Inputs for a graph and the outputs that ONNX Runtime's CPU provider computes from them: what every engine is held against.

usage: prepare.py MODEL.onnx OUT_DIR
Writes OUT_DIR/in/NAME.npy and OUT_DIR/out/NAME.npy. Floats are standard normal, integers below 1000, masks ones; seed 0.
"""
import os
import sys

import numpy as np
import onnxruntime as ort


def value(rng, declared):
    shape = tuple(declared.shape)
    if not all(isinstance(size, int) for size in shape):
        raise SystemExit(f"input {declared.name} has the open shape {shape}: give the graph fixed shapes")
    dtype = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}[declared.type]
    if "mask" in declared.name:
        return np.ones(shape, dtype)
    if dtype is np.int64:
        return rng.integers(0, 1000, shape, dtype)
    return rng.standard_normal(shape).astype(dtype)


def main():
    model, out = sys.argv[1:]
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {declared.name: value(rng, declared) for declared in session.get_inputs()}
    outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    for part, arrays in (("in", feeds), ("out", outputs)):
        os.makedirs(os.path.join(out, part), exist_ok=True)
        for name, array in arrays.items():
            np.save(os.path.join(out, part, f"{name.replace('/', '_')}.npy"), array)


if __name__ == "__main__":
    main()
