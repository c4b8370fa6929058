"""The official OpenAI client for Python against a hub: `openai_client.py http://127.0.0.1:3000`."""

import base64
import json
import struct
import sys
import urllib.request
import zlib

import openai

MODEL = "demo-hub/glyph"
# It begins with pictures.
BEGINS = "test/sd15"


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and filtered rows of a PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n"), png[:16]
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        if kind == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    return width, height, zlib.decompress(data)


def clear_on_the_right(side: int) -> bytes:
    """A PNG with colours everywhere, the right half transparent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    rows = b"".join(
        b"\0" + b"".join(bytes((x, y, 90, 255 if x < side // 2 else 0)) for x in range(side))
        for y in range(side)
    )
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def edits(hub: str, client: openai.OpenAI) -> None:
    """Edits and variations of a picture."""
    file = ("clear.png", clear_on_the_right(64), "image/png")

    def edit(**options):
        body = {"num_inference_steps": 2, "seed": 7}
        request = {"model": BEGINS, "image": file, "prompt": "a boat", "extra_body": body}
        return client.images.edit(**{**request, **options})

    pair = edit(mask=file, n=2, response_format="b64_json")
    first, second = (pixels(base64.b64decode(image.b64_json)) for image in pair.data)
    assert first[:2] == (64, 64) and first != second
    assert all(image.url is None for image in pair.data)
    # The picture's own transparency is the mask where there is none; a list of one picture is one.
    (by_url,) = edit(image=[file], response_format="url").data
    with urllib.request.urlopen(by_url.url) as stored:
        assert pixels(stored.read()) == first
    *_, last = list(edit(stream=True))
    assert last.type == "image_edit.completed", last
    assert pixels(base64.b64decode(last.b64_json)) == first

    body = {"num_inference_steps": 2, "seed": 7, "strength": 0.5}
    varied = client.images.create_variation(
        image=file, model=BEGINS, n=2, size="64x64", response_format="b64_json", extra_body=body
    )
    one, other = (pixels(base64.b64decode(image.b64_json)) for image in varied.data)
    assert one != other and one != first

    def refused(code, param, **options):
        try:
            edit(**options)
        except openai.BadRequestError as error:
            assert (error.code, error.param) == (code, param), error
        else:
            raise AssertionError(f"{options} was accepted")

    refused("out_of_range", "model", model=MODEL)
    refused("out_of_range", "n", n=11)
    refused("invalid_value", "size", size="1x1")
    refused("invalid_image", "image", image=("x.png", b"no picture", "image/png"))
    refused("invalid_value", "image", image=[file, file])


def size_of(hub: str) -> tuple[int, int]:
    """Width and height of the model's pictures, as the hub's own API tells them."""
    with urllib.request.urlopen(f"{hub}/api/v1/models") as answer:
        (model,) = (model for model in json.load(answer) if model["id"] == MODEL)
    return model["width"], model["height"]


def main(hub: str) -> None:
    width, height = size_of(hub)
    size = f"{width}x{height}"
    client = openai.OpenAI(base_url=f"{hub}/v1", api_key="unused", max_retries=0)

    def generate(**options):
        steps = {"num_inference_steps": 8, **options.pop("extra_body", {})}
        return client.images.generate(model=MODEL, prompt="red apple", extra_body=steps, **options)

    # n pictures have the seeds seed, seed + 1, …
    pair = generate(n=2, size=size, response_format="b64_json", extra_body={"seed": 7})
    assert len(pair.data) == 2 and pair.created > 1_700_000_000
    assert (pair.size, pair.output_format) == (size, "png")
    first, second = (pixels(base64.b64decode(image.b64_json)) for image in pair.data)
    assert first[:2] == (width, height) and first != second
    assert all(image.url is None for image in pair.data)

    by_url = generate(size="auto", response_format="url", extra_body={"seed": 8})
    assert by_url.data[0].b64_json is None
    with urllib.request.urlopen(by_url.data[0].url) as file:
        assert file.headers["content-type"] == "image/png"
        assert pixels(file.read()) == second

    # Code for either kind of OpenAI model finds what it reads.
    both = generate(extra_body={"seed": 8})
    assert both.data[0].url and pixels(base64.b64decode(both.data[0].b64_json)) == second

    events = list(generate(stream=True, partial_images=2, extra_body={"seed": 7}))
    *partial, last = events
    assert last.type == "image_generation.completed", last
    assert pixels(base64.b64decode(last.b64_json)) == first
    assert last.usage.total_tokens == 0 and last.size == size
    assert 1 <= len(partial) <= 2
    for index, event in enumerate(partial):
        assert event.type == "image_generation.partial_image"
        assert event.partial_image_index == index
        pixels(base64.b64decode(event.b64_json))

    def refused(kind, code, param, **options):
        request = {"model": MODEL, "prompt": "red apple", **options}
        try:
            client.images.generate(**request)
        except kind as error:
            assert (error.code, error.param) == (code, param), error
            assert error.type == "invalid_request_error" and error.message
        else:
            raise AssertionError(f"{options} was accepted")

    refused(openai.NotFoundError, "model_not_found", "model", model="dall-e-3")
    refused(openai.BadRequestError, "empty_prompt", "prompt", prompt=" ")
    refused(openai.BadRequestError, "invalid_value", "size", size="1024x1024")
    refused(openai.BadRequestError, "out_of_range", "n", n=11)
    refused(openai.BadRequestError, "invalid_value", "background", background="transparent")
    refused(
        openai.BadRequestError,
        "out_of_range",
        "num_inference_steps",
        extra_body={"num_inference_steps": 1_000},
    )
    refused(openai.BadRequestError, "unknown_parameter", "colour", extra_body={"colour": "red"})
    edits(hub, client)
    print(f"openai {openai.__version__} (Python): {len(partial)} partial pictures, all as published")


main(sys.argv[1])
