import { createHash } from "node:crypto";
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { built } from "./built.ts";
import { initializer, model, node, parts, pieces, value } from "./onnx.ts";

const [LENGTH, WIDTH, CHANNELS, SIDE] = [16, 64, 4, 8];
const INT64 = 7;
/** Rows of a table of 64 MB. */
const ROWS = 262_144;

/** Numbers in [-1, 1) that look random and are the same everywhere (a linear congruential generator of Numerical Recipes). */
function noise(count: number, seed: number): Float32Array {
  const out = new Float32Array(count);
  let state = seed >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state / 2 ** 31 - 1;
  }
  return out;
}

const integers = (...numbers: number[]) => BigInt64Array.from(numbers.map(BigInt));

/** BERT's whole word list, more than any tokenizer cut down from it has. */
const WORDS = 30_522;

/** A vector per token: the table is most of the package. */
function textEncoder(tokens: number, seed: number): Buffer {
  return model([
    initializer("table", [tokens, WIDTH], noise(tokens * WIDTH, seed)),
    initializer("last", [1], integers(2)),
    node("Gather", ["table", "input_ids"], "vectors"),
    node("Cast", ["attention_mask"], "mask", { to: 1 }),
    node("Unsqueeze", ["mask", "last"], "column"),
    node("Mul", ["vectors", "column"], "last_hidden_state"),
    value(11, "input_ids", [2, LENGTH], INT64),
    value(11, "attention_mask", [2, LENGTH], INT64),
    value(12, "last_hidden_state", [2, LENGTH, WIDTH]),
  ]);
}

/** What sets a tiny package apart from others; all but the last make it large in one respect. */
export interface Burden {
  /** Products of 4096³ in the denoiser, 137 GFLOP each: to be counted, not to be run. */
  products?: number;
  /** Tables of 64 MB in the denoiser, of which each step reads two rows. */
  tables?: number;
  /** Whether it takes a negative prompt; default: yes. */
  negativePrompt?: boolean;
}

/** Nodes that add something to `timed`, and the name of the sum. */
function burdened({ products = 0, tables = 0 }: Burden): [Buffer[], string] {
  const graph: Buffer[] = [];
  let last = "timed";
  const add = (what: string) => {
    graph.push(node("Add", [last, what], `${last}+`));
    last += "+";
  };
  if (products > 0) {
    graph.push(initializer("broad", [2], integers(4096, 4096)), initializer("one", [2], integers(1, 1)));
    graph.push(node("ReduceSum", ["timed"], "total", { keepdims: 0 }), node("Reshape", ["total", "one"], "alone"), node("Expand", ["alone", "broad"], "b0"));
    for (let i = 0; i < products; i++) graph.push(node("MatMul", [`b${i}`, "b0"], `b${i + 1}`));
    graph.push(node("ReduceSum", [`b${products}`], "weight", { keepdims: 0 }));
    add("weight");
  }
  if (tables > 0) {
    const bytes = ROWS * WIDTH * 4;
    const raw = Buffer.from(noise(ROWS * WIDTH + tables, 9).buffer);
    graph.push(node("Cast", ["t"], "rows", { to: INT64 }), initializer("across", [1], integers(1)));
    for (let i = 0; i < tables; i++) {
      graph.push(...pieces(`t${i}`, [ROWS, WIDTH], raw.subarray(4 * i, 4 * i + bytes)));
      graph.push(node("Gather", [`t${i}`, "rows"], `g${i}`), node("ReduceSum", [`g${i}`, "across"], `s${i}`), node("Reshape", [`s${i}`, "four"], `r${i}`));
      add(`r${i}`);
    }
  }
  return [graph, last];
}

/** `tanh(latents · x + t + Σ text)`, so that every input counts and no value grows. */
function denoiser(seed: number, burden: Burden): Buffer[] {
  const latents = [2, CHANNELS, SIDE, SIDE];
  const [more, sum] = burdened(burden);
  return parts([
    initializer("scale", [1, CHANNELS, 1, 1], noise(CHANNELS, seed + 1)),
    initializer("axes", [2], integers(1, 2)),
    initializer("four", [4], integers(2, 1, 1, 1)),
    initializer("row", [3], integers(2, LENGTH, 1)),
    node("Reshape", ["text_mask", "row"], "column"),
    node("Mul", ["text", "column"], "heard"),
    node("ReduceSum", ["heard", "axes"], "sum", { keepdims: 1 }),
    node("Reshape", ["sum", "four"], "prompt"),
    node("Reshape", ["t", "four"], "time"),
    node("Mul", ["latents", "scale"], "scaled"),
    node("Add", ["scaled", "prompt"], "prompted"),
    node("Add", ["prompted", "time"], "timed"),
    ...more,
    node("Tanh", [sum], "velocity"),
    value(11, "latents", latents),
    value(11, "t", [2]),
    value(11, "text", [2, LENGTH, WIDTH]),
    value(11, "text_mask", [2, LENGTH]),
    value(12, "velocity", latents),
  ]);
}

function decoder(seed: number): Buffer {
  return model([
    initializer("weights", [3, CHANNELS], noise(3 * CHANNELS, seed + 2)),
    initializer("rows", [2], integers(CHANNELS, SIDE * SIDE)),
    initializer("shape", [4], integers(1, 3, SIDE, SIDE)),
    node("Reshape", ["latents", "rows"], "pixels"),
    node("MatMul", ["weights", "pixels"], "colours"),
    node("Reshape", ["colours", "shape"], "planes"),
    node("Tanh", ["planes"], "image"),
    value(11, "latents", [1, CHANNELS, SIDE, SIDE]),
    value(12, "image", [1, 3, SIDE, SIDE]),
  ]);
}

/**
 * A package of the built-in model's form, `demo-hub/<name>`, that makes pictures of 8 × 8 pixels in no time: what it shows
 * means nothing, but it depends on prompt, seed, steps and guidance. The text encoder is 7.8 MB.
 */
export function writeTiny(models: string, name: string, seed: number, burden: Burden = {}): void {
  const folder = join(models, name);
  mkdirSync(folder, { recursive: true });
  const glyph = join(built.models(), "glyph");
  copyFileSync(join(glyph, "tokenizer.json"), join(folder, "tokenizer.json"));
  writeFileSync(join(folder, "text_encoder.onnx"), textEncoder(WORDS, seed));
  const graph = openSync(join(folder, "denoiser.onnx"), "w");
  for (const piece of denoiser(seed, burden)) writeSync(graph, piece);
  closeSync(graph);
  writeFileSync(join(folder, "decoder.onnx"), decoder(seed));

  const manifest = JSON.parse(readFileSync(join(glyph, "manifest.json"), "utf8"));
  delete manifest.latent_rgb;
  const latents = [2, CHANNELS, SIDE, SIDE];
  const port = (name: string, dtype: string, shape: number[]) => ({ name, dtype, shape });
  const text = port("text", "float32", [2, LENGTH, WIDTH]);
  Object.assign(manifest, {
    id: `demo-hub/${name}`,
    name: name.replace(/^./, (letter) => letter.toUpperCase()),
    image: { width: SIDE, height: SIDE },
    latents: latents.slice(1),
    negative_prompt: burden.negativePrompt ?? true,
    latent_rgb: {
      weights: [0, 1, 2].map((c) => Array.from({ length: CHANNELS }, (_, i) => (i === c ? 0.5 : 0))),
      bias: [0, 0, 0],
    },
    files: ["tokenizer.json", "text_encoder.onnx", "denoiser.onnx", "decoder.onnx"].map((file) => {
      const bytes = readFileSync(join(folder, file));
      return { name: file, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
    }),
  });
  if (burden.tables) {
    const table = ROWS * WIDTH * 4;
    manifest.needs = { max_buffer_size: table, max_storage_buffer_binding_size: table, memory_bytes: (burden.tables + 1) * table };
  }
  manifest.tokenizer.max_length = LENGTH;
  const { text_encoder, denoiser: loop, decoder: last } = manifest.components;
  text_encoder.inputs = [port("input_ids", "int64", [2, LENGTH]), port("attention_mask", "int64", [2, LENGTH])];
  text_encoder.outputs = [{ ...text, name: "last_hidden_state" }];
  loop.inputs = [port("latents", "float32", latents), port("t", "float32", [2]), text, port("text_mask", "float32", [2, LENGTH])];
  loop.outputs = [port("velocity", "float32", latents)];
  last.inputs = [port("latents", "float32", [1, ...latents.slice(1)])];
  last.outputs = [port("image", "float32", [1, 3, SIDE, SIDE])];
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest, null, 2));
}

/** Bytes of a package's file. */
export const fileSize = (models: string, name: string, file: string) => statSync(join(models, name, file)).size;
