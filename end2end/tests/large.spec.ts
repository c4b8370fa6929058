import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { watchHeaps } from "../support/heaps.ts";
import { Hub } from "../support/hub.ts";
import { ask, picture } from "../support/test.ts";
import { times } from "../support/times.ts";
import { fileSize, writeTiny } from "../support/tiny.ts";
import { request, studio, where } from "../support/tinyhub.ts";

/** What either heap may grow to, whatever the model's size. */
const MAX_HEAP = 256 << 20;
/** What array buffers may hold, those included that wait for the garbage collector: it looks at them when it likes. */
const MAX_BUFFERS = 384 << 20;

test("a package of 1.5 GB is downloaded, stored and brought to the GPU through bounded heaps", async () => {
  const folder = mkdtempSync(join(tmpdir(), "demo-hub-large-"));
  const models = join(folder, "models");
  writeTiny(models, "large", 1, { tables: 23 });
  expect(fileSize(models, "large", "denoiser.onnx")).toBeGreaterThan(1.5e9);
  const hub = await Hub.start(["--models-dir", models]);
  // A profile on the disk: one in memory is granted a fraction of it.
  const context = await chromium.launchPersistentContext(join(folder, "profile"), { ...withWebGpu, baseURL: hub.url, serviceWorkers: "block" });
  try {
    const page = await studio(context);
    const stop = await watchHeaps(page);
    await ask(page, request);
    await picture(page);
    const peaks = await stop();
    await expect(where(page)).toContainText("in this browser on WebGPU");
    const made = await times(page);
    const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
    const heap = ({ objects, buffers }: { objects: number; buffers: number }) => `${mb(objects)} MB of objects and ${mb(buffers)} MB in buffers`;
    console.log(
      `1.5 GB: download ${made.Downloading} ms, loading ${made.Loading} ms, GPU memory ${mb(made["GPU memory"])} MB; wasm heap ${mb(made["WebAssembly memory"])} MB; ` +
        `at most, in ${peaks.samples} samples, the worker had ${heap(peaks.worker)}, the page ${heap(peaks.page)}`,
    );
    expect(made["GPU memory"]).toBeGreaterThan(1.5e9);
    expect(made["WebAssembly memory"]).toBeLessThan(MAX_HEAP);
    expect(peaks.samples).toBeGreaterThan(20);
    for (const { objects, buffers } of [peaks.page, peaks.worker]) {
      expect(objects).toBeLessThan(MAX_HEAP);
      expect(buffers).toBeLessThan(MAX_BUFFERS);
    }
    expect(peaks.worker.buffers).toBeGreaterThan(0);
  } finally {
    await context.close();
    await hub.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
