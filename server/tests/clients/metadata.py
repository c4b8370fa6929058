"""Whether others' programs read what is written into pictures: `metadata.py http://127.0.0.1:3000 path/to/demo-hub`.

`sd-parsers` reads A1111's text, `exiftool` the XMP packet; one picture comes from the command line, one from the server.
"""

import base64
import json
import struct
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from sd_parsers import ParserManager
from sd_parsers.data import Generators

MODEL = "demo-hub/glyph"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SEED, STEPS, GUIDANCE = 7, 4, 2.5
# A comma and a colon are what A1111's form separates by; the second is outside Latin-1.
PROMPTS = ["red apple, flat: yes", "りんご, flat style"]


def negative_of(hub: str) -> str:
    """A negative prompt, where the model takes one."""
    with urllib.request.urlopen(f"{hub}/api/v1/models") as answer:
        (model,) = (model for model in json.load(answer) if model["id"] == MODEL)
    return "blue, leaf" if model["negative_prompt"] else ""


def from_command_line(program: str, prompt: str, negative: str, file: Path) -> None:
    options = {"--prompt": prompt, "--negative-prompt": negative, "--seed": SEED, "--steps": STEPS}
    options |= {"--guidance": GUIDANCE, "--renderer": "cpu", "--out": file}
    arguments = [str(word) for pair in options.items() for word in pair]
    subprocess.run([program, "generate", *arguments], check=True)


def from_server(hub: str, prompt: str, negative: str, file: Path) -> None:
    body = {"model": MODEL, "prompt": prompt, "negative_prompt": negative, "seed": SEED}
    body |= {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "response_format": "b64_json"}
    request = urllib.request.Request(
        f"{hub}/v1/images/generations", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        file.write_bytes(base64.b64decode(json.load(answer)["data"][0]["b64_json"]))


def check_parameters(file: Path, prompt: str, negative: str) -> str:
    found = ParserManager().parse(file)
    assert found and found.generator == Generators.AUTOMATIC1111, found
    (sampler,) = found.samplers
    assert [p.value for p in sampler.prompts] == [prompt], sampler
    assert [p.value for p in sampler.negative_prompts] == ([negative] if negative else []), sampler
    expected = {"seed": str(SEED), "steps": str(STEPS), "cfg_scale": str(GUIDANCE)}
    assert sampler.parameters == expected, sampler.parameters
    assert (sampler.name, sampler.model.name) == ("Euler", MODEL), sampler
    width, height = struct.unpack(">II", file.read_bytes()[16:24])
    assert found.metadata["Size"] == f"{width}x{height}", found.metadata
    return f"{sampler.name}, {sampler.parameters}, {sampler.model.name}"


def check_xmp(file: Path) -> str:
    command = ["exiftool", "-json", "-warning", "-G1", "-XMP:all", str(file)]
    (tags,) = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert tags["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPE, tags
    assert not [name for name in tags if "Warning" in name], tags
    return tags["XMP-iptcExt:DigitalSourceType"]


def main(hub: str, program: str) -> None:
    negative = negative_of(hub)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        for prompt in PROMPTS:
            for name, make in (("generate", from_command_line), ("server", from_server)):
                make(program if name == "generate" else hub, prompt, negative, file)
                print(f"{name}: sd-parsers reads {check_parameters(file, prompt, negative)}")
                print(f"{name}: exiftool reads DigitalSourceType {check_xmp(file)}")


main(sys.argv[1], sys.argv[2])
