// The official OpenAI client for Node against a hub: `node openai_client.mjs http://127.0.0.1:3000`.

import assert from "node:assert/strict";
import { crc32, deflateSync, inflateSync } from "node:zlib";
import OpenAI, { BadRequestError, NotFoundError, toFile } from "openai";
import { VERSION } from "openai/version";

const hub = process.argv[2];
const model = "demo-hub/glyph";
const client = new OpenAI({ baseURL: `${hub}/v1`, apiKey: "unused", maxRetries: 0 });

/** Width, height and filtered rows of a PNG in base64. */
function pixels(base64) {
  const png = Buffer.from(base64, "base64");
  assert.equal(png.subarray(1, 4).toString(), "PNG");
  const data = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.subarray(at + 4, at + 8).toString() === "IDAT") {
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
    }
  }
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20), rows: inflateSync(Buffer.concat(data)) };
}

const request = { model, prompt: "red apple", num_inference_steps: 8 };

const pair = await client.images.generate({ ...request, n: 2, seed: 7, response_format: "b64_json" });
const [first, second] = pair.data.map((image) => pixels(image.b64_json));
const { width, height } = (await (await fetch(`${hub}/api/v1/models`)).json()).find(({ id }) => id === model);
assert.deepEqual([first.width, first.height], [width, height]);
assert.notDeepEqual(first.rows, second.rows);

const byUrl = await client.images.generate({ ...request, seed: 8, response_format: "url" });
const file = await fetch(byUrl.data[0].url);
assert.equal(file.headers.get("content-type"), "image/png");
assert.deepEqual(pixels(Buffer.from(await file.arrayBuffer()).toString("base64")), second);

const stream = await client.images.generate({ ...request, seed: 7, stream: true, partial_images: 2 });
const events = [];
for await (const event of stream) events.push(event);
const last = events.pop();
assert.equal(last.type, "image_generation.completed");
assert.deepEqual(pixels(last.b64_json), first);
assert.ok(events.length >= 1 && events.length <= 2);
events.forEach((event, index) => {
  assert.deepEqual([event.type, event.partial_image_index], ["image_generation.partial_image", index]);
  pixels(event.b64_json);
});

async function refused(kind, code, param, change) {
  await assert.rejects(client.images.generate({ ...request, ...change }), (error) => {
    assert.ok(error instanceof kind, String(error));
    assert.deepEqual([error.code, error.param, error.type], [code, param, "invalid_request_error"]);
    return true;
  });
}
await refused(NotFoundError, "model_not_found", "model", { model: "gpt-image-1" });
await refused(BadRequestError, "invalid_value", "size", { size: "1024x1024" });
await refused(BadRequestError, "out_of_range", "n", { n: 0 });
await refused(BadRequestError, "empty_prompt", "prompt", { prompt: "" });
/** A PNG with colours everywhere, the right half transparent. */
function clearOnTheRight(side) {
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    crc.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, crc]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 6], 8);
  const row = (y) => [0, ...Array.from({ length: side }, (_, x) => [x, y, 90, x < side / 2 ? 255 : 0]).flat()];
  const rows = Buffer.from(Array.from({ length: side }, (_, y) => row(y)).flat());
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

const picture = () => toFile(clearOnTheRight(64), "clear.png", { type: "image/png" });
const begins = { model: "test/sd15", num_inference_steps: 2, seed: 7, response_format: "b64_json" };
const edit = async (change) => client.images.edit({ ...begins, prompt: "a boat", image: await picture(), ...change });
const edited = await edit({ mask: await picture(), n: 2 });
const [one, two] = edited.data.map((image) => pixels(image.b64_json));
assert.deepEqual([one.width, one.height], [64, 64]);
assert.notDeepEqual(one.rows, two.rows);
const own = await edit({ image: [await picture()] });
assert.deepEqual(pixels(own.data[0].b64_json), one);
const varied = await client.images.createVariation({ ...begins, image: await picture(), n: 2 });
assert.equal(new Set(varied.data.map((image) => image.b64_json)).size, 2);
await assert.rejects(edit({ model }), (error) => {
  assert.ok(error instanceof BadRequestError, String(error));
  assert.deepEqual([error.code, error.param], ["out_of_range", "model"]);
  return true;
});
console.log(`openai ${VERSION} (Node): ${events.length} partial pictures, all as published`);
