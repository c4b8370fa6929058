# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy"]
# ///
"""Small networks that make pictures larger, as TensorFlow.js keeps them, and what they make of a picture.

usage: upscalers.py
Writes to the folder upscalers:
x2/model.json, x2/group1-shard1of2.bin, …   convolutions, a concatenation, a sum and a pixel shuffle; 1 is white
x4/model.json, x4/group1-shard1of1.bin      the same with two repetitions of pixels; 255 is white
picture.rgb                                 19x13 pixels
x2.rgb, x4.rgb                              what they make of it, with weights of 16 bits

Arithmetic is numpy's in 64 bits, by the definitions of Keras and of `tf.nn.depth_to_space` (NHWC): a channel is (row * block + column) * depth + colour.
"""
import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent / "upscalers"
WIDTH, HEIGHT, BETA = 19, 13, 0.2
rng = np.random.default_rng(7)


class Net:
    def __init__(self, white):
        self.layers, self.weights, self.values, self.white = [], [], {}, white

    def layer(self, name, kind, inputs, **config):
        nodes = [[[i, 0, 0, {}] for i in inputs]] if inputs else []
        self.layers.append({"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", **config}, "name": name, "inbound_nodes": nodes})

    def conv(self, name, x, kernel, bias, activation="linear"):
        side = kernel.shape[0]
        self.layer(name, "Conv2D", [x], filters=kernel.shape[3], kernel_size=[side, side], strides=[1, 1], padding="same", data_format="channels_last",
                   dilation_rate=[1, 1], groups=1, activation=activation, use_bias=bias is not None, kernel_initializer={"class_name": "Zeros", "config": {}})
        self.weights.append((f"{name}/kernel", kernel.astype("<f4")))
        if bias is not None:
            self.weights.append((f"{name}/bias", bias.astype("<f4")))
        a = self.values[x]
        half = side // 2
        padded = np.pad(a, ((half, half), (half, half), (0, 0)))
        w = kernel.astype(np.float32).astype(np.float16).astype(np.float64)
        y = np.zeros((*a.shape[:2], w.shape[3])) + (0 if bias is None else bias.astype(np.float32).astype(np.float64))
        for dy in range(side):
            for dx in range(side):
                y += padded[dy:dy + a.shape[0], dx:dx + a.shape[1]] @ w[dy, dx]
        self.values[name] = np.maximum(y, 0) if activation == "relu" else y
        return name

    def relu(self, name, x):
        self.layer(name, "Activation", [x], activation="relu")
        self.values[name] = np.maximum(self.values[x], 0)
        return name

    def concat(self, name, xs, axis):
        self.layer(name, "Concatenate", xs, axis=axis)
        self.values[name] = np.concatenate([self.values[x] for x in xs], axis=2)
        return name

    def add(self, name, xs):
        self.layer(name, "Add", xs)
        self.values[name] = sum(self.values[x] for x in xs)
        return name

    def beta(self, name, x):
        self.layer(name, "MultiplyBeta", [x], beta=BETA)
        self.values[name] = self.values[x] * np.float64(np.float32(BETA))
        return name

    def shuffle(self, name, x, block):
        self.layer(name, f"PixelShuffle{block}x", [x], scale=block)
        h, w, c = self.values[x].shape
        a = self.values[x].reshape(h, w, block, block, c // block**2)
        self.values[name] = a.transpose(0, 2, 1, 3, 4).reshape(h * block, w * block, -1)
        return name

    def repeat(self, name, x, times):
        self.layer(name, "UpSampling2D", [x], size=[times, times], data_format="channels_last", interpolation="nearest")
        self.values[name] = self.values[x].repeat(times, 0).repeat(times, 1)
        return name

    def start(self, picture):
        self.layer("LR_input", "InputLayer", [], batch_input_shape=[None, None, None, 3], sparse=False, ragged=False)
        self.values["LR_input"] = picture.astype(np.float64) / 255 * self.white
        return "LR_input"

    def save(self, folder, output, shards):
        folder.mkdir(parents=True, exist_ok=True)
        data = b"".join(w.tobytes() for _, w in self.weights)
        # Shards end anywhere, within a number too.
        cuts = [len(data) * i // shards // 2 * 2 + (1 if 0 < i < shards else 0) for i in range(shards)] + [len(data)]
        names = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
        for name, begin, end in zip(names, cuts, cuts[1:]):
            (folder / name).write_bytes(data[begin:end])
        manifest = [{"paths": names, "weights": [{"name": n, "shape": list(w.shape), "dtype": "float32"} for n, w in self.weights]}]
        config = {"name": "generator", "layers": self.layers, "input_layers": [["LR_input", 0, 0]], "output_layers": [[output, 0, 0]]}
        model = {"format": "layers-model", "generatedBy": "keras v2.10.0", "convertedBy": "TensorFlow.js Converter v1.2.6",
                 "modelTopology": {"keras_version": "2.10.0", "backend": "tensorflow", "model_config": {"class_name": "Functional", "config": config}},
                 "weightsManifest": manifest}
        (folder / "model.json").write_text(json.dumps(model, separators=(",", ":")))
        bytes_ = np.round(np.clip(self.values[output] / self.white, 0, 1) * 255).astype(np.uint8)
        bytes_.tofile(folder.parent / f"{folder.name}.rgb")
        print(folder.name, bytes_.shape, f"spread {bytes_.std():.1f}, {len(data)} bytes")


def noise(*shape, by):
    return rng.normal(size=shape) * by


def passing(side, channels, to, source):
    """A kernel that passes channel `source(k)` of the middle on as channel k, plus noise."""
    kernel = noise(side, side, channels, to, by=0.015)
    for k in range(to):
        kernel[side // 2, side // 2, source(k), k] += 1
    return kernel


def main():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = np.stack([x * 255 / WIDTH, 255 - y * 255 / HEIGHT, ((x // 3 + y // 2) % 2) * 160 + 40], 2).round().astype(np.uint8)
    OUT.mkdir(exist_ok=True)
    picture.tofile(OUT / "picture.rgb")

    net = Net(1)
    a = net.start(picture)
    f = net.conv("F_1", a, noise(3, 3, 3, 5, by=0.3), noise(5, by=0.1))
    f = net.relu("F_1_Relu", f)
    g = net.conv("F_2", f, noise(5, 5, 5, 5, by=0.1), None, "relu")
    g = net.add("LRL", [f, net.beta("multiply_beta", g)])
    c = net.concat("cat", [a, g], 3)
    p = net.conv("PreShuffle", c, passing(3, 8, 12, lambda k: k % 3), noise(12, by=0.02))
    p = net.shuffle("pixel_shuffle", p, 2)
    s = net.conv("SR", p, passing(3, 3, 3, lambda k: k), noise(3, by=0.02))
    net.save(OUT / "x2", s, 2)

    net = Net(255)
    a = net.start(picture)
    f = net.conv("conv_a", a, passing(3, 3, 4, lambda k: k % 3), noise(4, by=4.0), "relu")
    f = net.repeat("up_1", f, 2)
    f = net.conv("conv_b", f, passing(1, 4, 4, lambda k: k), None)
    f = net.repeat("up_2", f, 2)
    b = net.repeat("up_0", a, 4)
    c = net.concat("both", [f, b], -1)
    s = net.conv("out", c, passing(3, 7, 3, lambda k: 4 + k), noise(3, by=1.0))
    net.save(OUT / "x4", s, 1)


main()
