import { expect, test } from "@playwright/test";
import { built } from "../support/built.ts";
import { withWebGpu } from "../support/chromium.ts";
import { external, model, node, value } from "../support/onnx.ts";
import { RangeServer, repeated, whole } from "../support/ranges.ts";

test.use({ launchOptions: withWebGpu });

/** What the wasm heap may grow to, whatever the model's size. */
const MAX_HEAP = 256 << 20;

const [K, N, LAYERS] = [4096, 8192, 17];
const FLOAT16 = 10;
const FLOAT = 1;

/** Element `e` of the weights' file: a multiple of 1/64 below 2, exact in 16 bits. */
const weight = (e: number) => ((e % 251) - 125) / 64;

/** The bits of a 16-bit float for a multiple of 1/64 below 2. */
function half(x: number): number {
  if (x === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(x)));
  const fraction = Math.abs(x) / 2 ** exponent - 1;
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | (fraction * 1024);
}

/** `y = Σ x · W_i` over weights of 16 bits that together exceed 1 GB. */
function sums(): Buffer {
  const bytes = K * N * 2;
  const graph: Buffer[] = [];
  for (let i = 0; i < LAYERS; i++) {
    graph.push(external(`w${i}`, [K, N], FLOAT16, "weights.bin", i * bytes, bytes));
    graph.push(node("Cast", [`w${i}`], `f${i}`, { to: FLOAT }));
    graph.push(node("MatMul", ["x", `f${i}`], `p${i}`));
    if (i > 0) graph.push(node("Add", [i === 1 ? "p0" : `s${i - 1}`, `p${i}`], i === LAYERS - 1 ? "y" : `s${i}`));
  }
  graph.push(value(11, "x", [1, K]), value(12, "y", [1, N]));
  return model(graph);
}

test("more than 1 GB of weights reach the GPU through a bounded wasm heap", async ({ page }) => {
  const pattern = Buffer.alloc(251 * 2);
  for (let e = 0; e < 251; e++) pattern.writeUInt16LE(half(weight(e)), e * 2);
  const size = LAYERS * K * N * 2;
  expect(size).toBeGreaterThanOrEqual(1e9);
  const server = await RangeServer.start("<!doctype html><link rel=icon href=data:,><title>weights</title>", built.enginePage(), {
    "model.onnx": whole(sums()),
    "weights.bin": repeated(pattern, size),
  });
  try {
    await page.goto(server.url);
    const row = Array.from({ length: K }, (_, k) => (((k * 5) % 17) - 8) / 8);
    const report = await page.evaluate(async (row) => {
      const engine = await import(`${location.origin}/engine/engine_page.js`);
      const { memory } = await engine.default();
      const before = memory.buffer.byteLength;
      const start = performance.now();
      const y: Float32Array = await engine.run_from_ranges(location.origin, "model.onnx", "x", new Float32Array(row));
      return { before, after: memory.buffer.byteLength, ms: performance.now() - start, y: Array.from(y) };
    }, row);
    const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
    console.log(
      `${mb(size)} MB of weights in ${(report.ms / 1000).toFixed(1)} s, one run included; ` +
        `wasm heap ${mb(report.before)} MB before, ${mb(report.after)} MB at its largest`,
    );
    expect(report.after).toBeLessThan(MAX_HEAP);
    expect(server.longest).toBeLessThanOrEqual(4 << 20);
    // Every weight is fetched once.
    expect(server.sent - size).toBeLessThan(1 << 20);
    expect(report.y.length).toBe(N);
    for (let n = 0; n < N; n += 61) {
      let sum = 0;
      for (let i = 0; i < LAYERS; i++) for (let k = 0; k < K; k++) sum += row[k] * weight(i * K * N + k * N + n);
      expect(Math.abs(report.y[n] - sum)).toBeLessThanOrEqual(1e-3 * Math.max(1, Math.abs(sum)));
    }
  } finally {
    server.close();
  }
});
