import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { built, tolerance } from "../support/built.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { Hub } from "../support/hub.ts";
import { ask, expect, open, picture, pixels, shown, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

/** An export of random weights in the folder layout of diffusers, with the small CLIP vocabulary of the tokenizer's tests. */
function layOut(folder: string): void {
  for (const graph of ["text_encoder", "unet", "vae_decoder"]) {
    mkdirSync(join(folder, graph), { recursive: true });
    cpSync(join(built.fixtures(), "small", `${graph}.onnx`), join(folder, graph, "model.onnx"));
  }
  const clip = join(import.meta.dirname, "../../crates/diffusion/tests/data/clip");
  const json = (path: string, value: unknown) => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), JSON.stringify(value));
  };
  json("tokenizer/tokenizer_config.json", { model_max_length: 77, pad_token: "<|endoftext|>" });
  for (const file of ["vocab.json", "merges.txt"]) cpSync(join(clip, file), join(folder, "tokenizer", file));
  json("scheduler/scheduler_config.json", {
    _class_name: "EulerDiscreteScheduler",
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: "scaled_linear",
    steps_offset: 1,
    timestep_spacing: "leading",
  });
  json("vae_decoder/config.json", { scaling_factor: 0.18215 });
  json("model_index.json", { _class_name: "OnnxStableDiffusionPipeline" });
}

test("a model that was added makes one picture of a seed, in the browser and on the server", async ({ page, watch }) => {
  const work = mkdtempSync(join(tmpdir(), "demo-hub-packages-"));
  const models = join(work, "models");
  mkdirSync(models);
  layOut(join(work, "export"));
  const options = ["--id", "test/random", "--license", "mit", "--steps", "2", "--models-dir", models];
  execFileSync(built.server(), ["models", "add", join(work, "export"), ...options], { stdio: "inherit" });
  const hub = await Hub.start(["--models-dir", models]);
  try {
    const asked = { prompt: "a photo of an apple", seed: 7, steps: 2 };
    await open(page, `${hub.url}/?model=test/random`);
    await ask(page, { ...asked, policy: "browser_only" });
    await picture(page);
    await expect(page.getByTestId("where")).toContainText("rten");
    expect(watch.requests.filter((r) => r.includes("/api/v1/jobs"))).toEqual([]);
    const here = await pixels(page, await shown(page));
    expect([here.width, here.height]).toEqual([128, 128]);
    const mean = here.rgb.reduce((sum, x) => sum + x, 0) / here.rgb.length;
    expect(Math.sqrt(here.rgb.reduce((sum, x) => sum + (x - mean) ** 2, 0) / here.rgb.length)).toBeGreaterThan(5);

    await page.getByTestId("policy").selectOption("prefer_server");
    await page.getByTestId("generate").click();
    await expect(page.getByTestId("private-note")).toBeVisible({ timeout: 120_000 });
    await picture(page);
    const there = await pixels(page, await shown(page));
    const worst = Math.max(...there.rgb.map((value, i) => Math.abs(value - here.rgb[i])));
    expect(worst).toBeLessThanOrEqual(tolerance());
  } finally {
    await page.goto("about:blank");
    await hub.stop();
    rmSync(work, { recursive: true, force: true });
  }
});
