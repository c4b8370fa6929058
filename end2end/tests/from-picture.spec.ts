import { readFile } from "node:fs/promises";
import { accessible } from "../support/axe.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { drop } from "../support/pictures.ts";
import { jpegWith, pngWith, webpWith } from "../support/png.ts";
import { ask, expect, open, picture, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

const graph = {
  "3": { class_type: "KSampler", inputs: { seed: 5, steps: 20, cfg: 8, sampler_name: "euler", positive: ["6", 0], negative: ["7", 0] } },
  "6": { class_type: "CLIPTextEncode", inputs: { text: "scenery" } },
  "7": { class_type: "CLIPTextEncode", inputs: { text: "watermark" } },
};

const files = {
  A1111: { parameters: "scenery\nNegative prompt: watermark\nSteps: 20, Sampler: Euler a, CFG scale: 8, Seed: 5, Size: 512x512, Model: x" },
  Fooocus: {
    parameters: JSON.stringify({ prompt: "scenery", negative_prompt: "watermark", seed: "5", steps: 20, guidance_scale: 8, metadata_scheme: "fooocus" }),
    fooocus_scheme: "fooocus",
  },
  InvokeAI: {
    invokeai_metadata: JSON.stringify({ positive_prompt: "scenery", negative_prompt: "watermark", seed: 5, steps: 20, cfg_scale: 8 }),
  },
  ComfyUI: { prompt: JSON.stringify(graph), workflow: "{}" },
  SwarmUI: {
    parameters: JSON.stringify({ sui_image_params: { prompt: "scenery", negativeprompt: "watermark", seed: 5, steps: 20, cfgscale: 8.0 } }),
  },
};

test("a picture of another program fills the form, by drop or by choice", async ({ page, hub, watch }) => {
  const [model] = await (await fetch(`${hub.url}/api/v1/models`)).json();
  const takes: boolean = model.negative_prompt;
  const without = "the negative prompt, which this model does not take";
  await open(page, "/");
  const said = page.getByTestId("from-picture");
  for (const [generator, texts] of Object.entries(files)) {
    await page.getByTestId("prompt").fill("before");
    await drop(page, "x.png", "image/png", pngWith(texts));
    await expect(said).toContainText(`Written by ${generator}`);
    await expect(said).toContainText(`Read: prompt, ${takes ? "negative prompt, " : ""}seed, steps and guidance.`);
    if (!takes) await expect(said).toContainText(`Not used: ${generator === "A1111" ? "the model x, which is not here, " : ""}${without}`);
    await expect(page.getByTestId("prompt")).toHaveValue("scenery");
    await expect(page.getByTestId("negative-prompt")).toHaveValue(takes ? "watermark" : "");
    await expect(page.getByTestId("negative-prompt")).toBeEnabled({ enabled: takes });
    await expect(page.getByTestId("seed")).toHaveValue("5");
    await expect(page.getByTestId("random-seed")).not.toBeChecked();
    await expect(page.getByTestId("steps")).toHaveValue("20");
    await expect(page.getByTestId("guidance")).toHaveValue("8");
  }
  await page.getByTestId("picture-file").setInputFiles({ name: "a.png", mimeType: "image/png", buffer: pngWith(files.A1111) });
  await expect(said).toContainText(`Not used: the model x, which is not here, ${takes ? "" : `${without}, `}Sampler and Size.`);
  for (const [name, type, file] of [
    ["a.webp", "image/webp", webpWith(files.A1111.parameters)],
    ["a.jpg", "image/jpeg", jpegWith(files.A1111.parameters)],
  ] as const) {
    await page.getByTestId("prompt").fill("before");
    await drop(page, name, type, file);
    await expect(page.getByTestId("prompt")).toHaveValue("scenery");
    await expect(said).toContainText("Written by A1111");
  }
  await accessible(page);
  // Nothing of the file leaves the browser.
  expect(watch.requests.filter((r) => /^(POST|PUT) /.test(r))).toEqual([]);
});

test("a picture made here brings its settings back; other files are refused in words", async ({ page }) => {
  await open(page, "/");
  await ask(page, { prompt: "りんご, flat: style", seed: 31, steps: 2, policy: "browser_only" });
  await picture(page);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download PNG" }).click();
  const file = await readFile(await (await download).path());
  await page.getByTestId("prompt").fill("other");
  await page.getByTestId("seed").fill("1");
  await page.getByTestId("steps").fill("9");
  await drop(page, "picture.png", "image/png", file);
  await expect(page.getByTestId("from-picture")).toHaveText("Written by Demo Hub. Read: model, prompt, seed, steps and guidance.");
  await expect(page.getByTestId("prompt")).toHaveValue("りんご, flat: style");
  await expect(page.getByTestId("seed")).toHaveValue("31");
  await expect(page.getByTestId("steps")).toHaveValue("2");

  await drop(page, "x.txt", "text/plain", Buffer.from("hello"));
  await expect(page.getByTestId("from-picture")).toHaveText("This file is not a PNG, WebP or JPEG.");
  await drop(page, "plain.png", "image/png", pngWith({}));
  await expect(page.getByTestId("from-picture")).toHaveText("This file does not say how it was made.");
  await expect(page.getByTestId("prompt")).toHaveValue("りんご, flat: style");
});
