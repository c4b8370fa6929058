import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withoutWebGpu } from "../support/chromium.ts";
import { Hub } from "../support/hub.ts";
import { look } from "../support/look.ts";
import { ask, expect, open, picture, test } from "../support/test.ts";
import { writeTiny } from "../support/tiny.ts";

test.use({ launchOptions: withoutWebGpu });

const cat = { prompt: "cat face, blob style", seed: 7, steps: 8 };

test("the engine for processors comes when it is used, tells what it will take, and draws", async ({ page, watch }) => {
  const workers = () => watch.requests.filter((r) => /\/(?:render|cpu)-worker-/.test(r)).map((r) => r.replace(/.*\/((?:render|cpu)-worker).*\.(\w+)(?:\?.*)?$/, "$1.$2"));
  await page.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "gpu"));
  await open(page, "/");
  await ask(page, cat);
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("on the server");
  await expect(page.getByTestId("where")).toContainText("this browser has no WebGPU");
  expect(workers()).toEqual([]);

  await page.getByRole("link", { name: "About Glyph" }).click();
  await page.getByRole("link", { name: "Make it on your processor instead" }).click();
  await expect(page.getByTestId("policy")).toHaveValue("browser_only");
  await expect(page.getByTestId("verdict-line")).toHaveText(/^Runs here on your processor, at least .+ a picture$/, { timeout: 60_000 });
  expect(workers()).toEqual(["cpu-worker.js", "cpu-worker.wasm"]);
  const measured = await page.evaluate(() => JSON.parse(sessionStorage.getItem("demo-hub-capability") ?? "[]")[1].processor_flops_per_second as number);
  console.log(`the processor was measured at ${(measured / 1e9).toFixed(1)} GFLOP/s; ${await page.getByTestId("verdict-line").innerText()}`);
  // Faster than any interpreter and slower than any single core.
  expect(measured).toBeGreaterThan(1e8);
  expect(measured).toBeLessThan(1e12);

  await ask(page, cat);
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("in this browser on the processor by rten");
  expect(workers()).toEqual(["cpu-worker.js", "cpu-worker.wasm"]);
});

test("a model that the processor would not finish is refused before it is downloaded", async ({ page, watch }, info) => {
  const models = mkdtempSync(join(tmpdir(), "demo-hub-heavy-"));
  writeTiny(models, "heavy", 1, { products: 32 });
  const hub = await Hub.start(["--models-dir", models]);
  try {
    await open(page, `${hub.url}/models/demo-hub/heavy`);
    await expect(page.getByTestId("verdict")).toHaveAttribute("data-kind", "on_server", { timeout: 60_000 });
    // 35 TFLOP: there may be a processor that can.
    await expect(page.getByRole("link", { name: "Make it on your processor instead" })).toBeVisible();
    await open(page, `${hub.url}/`);
    await ask(page, { ...cat, policy: "browser_only" });
    await expect(page.getByTestId("error")).toContainText(/would take at least .+ on this device's processor/, { timeout: 60_000 });
    await expect(page.getByTestId("verdict-line")).toHaveText(/^Too much for your processor: at least .+ a picture$/);
    expect(watch.requests.filter((r) => r.includes("/models/heavy/"))).toEqual([]);
    await look(page, info, "refused");
  } finally {
    await hub.stop();
    rmSync(models, { recursive: true, force: true });
  }
});
