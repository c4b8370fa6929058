# /// script
# requires-python = ">=3.10"
# dependencies = ["diffusers==0.42.1"]
# ///
"""Every scheduler class of diffusers with its options and their defaults, read of its source, for
src/models/add/scheduler/classes.rs.

usage: scheduler_classes.py > ../../src/models/add/scheduler/classes.json
"""
import ast
import importlib.util
import json
import math
from pathlib import Path


def value(node):
    """-Infinity is no JSON; the reader of scheduler_config.json turns it into text, too."""
    found = eval(compile(ast.Expression(node), "default", "eval"), {"float": float})
    return str(found).replace("inf", "Infinity") if isinstance(found, float) and math.isinf(found) else found


def constructor(kind):
    for method in kind.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            if any(getattr(d, "id", "") == "register_to_config" for d in method.decorator_list):
                return method.args
    return None


def main():
    folder = Path(importlib.util.find_spec("diffusers").submodule_search_locations[0]) / "schedulers"
    classes = {}
    for path in sorted(folder.glob("scheduling_*.py")):
        for kind in ast.parse(path.read_text()).body:
            arguments = constructor(kind) if isinstance(kind, ast.ClassDef) else None
            if arguments is None:
                continue
            names = [argument.arg for argument in arguments.args[1:]]
            defaults = [value(node) for node in arguments.defaults]
            classes[kind.name] = dict(zip(names, [None] * (len(names) - len(defaults)) + defaults))
    lines = [f"  {json.dumps(name)}: {json.dumps(classes[name])}" for name in sorted(classes)]
    print("{\n" + ",\n".join(lines) + "\n}")


main()
