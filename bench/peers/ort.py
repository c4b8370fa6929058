# /// script
# requires-python = ">=3.10"
# dependencies = ["onnxruntime", "numpy"]
# ///
"""ONNX Runtime's CPU provider as a peer of `cargo xtask bench engine`; speaks what `harness` speaks.

usage: ort.py MODEL --save DIR [--input NAME=FILE.npy]...
"""
import argparse
import json
import os
import sys
import time

import numpy as np
import onnxruntime as ort


def say(value):
    print(json.dumps(value), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--save", required=True)
    parser.add_argument("--input", action="append", default=[])
    args = parser.parse_args()
    feeds = {name: np.load(file) for name, file in (pair.split("=", 1) for pair in args.input)}
    with open(args.model, "rb") as file:
        model = file.read()
    start = time.perf_counter()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    opened = time.perf_counter()
    outputs = session.run(None, feeds)
    first = time.perf_counter()
    os.makedirs(args.save, exist_ok=True)
    for declared, array in zip(session.get_outputs(), outputs):
        np.save(os.path.join(args.save, f"{declared.name.replace('/', '_')}.npy"), array)
    say({"open_ms": (opened - start) * 1e3, "first_ms": (first - start) * 1e3, "version": ort.__version__})
    for line in sys.stdin:
        if line.strip() == "run":
            start = time.perf_counter()
            session.run(None, feeds)
            say({"ms": (time.perf_counter() - start) * 1e3})


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        say({"error": str(error)})
        sys.exit(1)
