import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessible } from "../support/axe.ts";
import { withWebGpu } from "../support/chromium.ts";
import { type Case, add, cases, expectGolden, makeHere, openCase } from "../support/families.ts";
import { Hub } from "../support/hub.ts";
import { look } from "../support/look.ts";
import { expect, picture, test } from "../support/test.ts";

test.use({ launchOptions: withWebGpu });

/** Of each family one: another size, a second text encoder with sizes and a negative prompt, an embedded guidance scale. */
const NAMES = ["sd15-wide", "sdxl-negative", "lcm-four"];
/** Those that are added as their authors publish them, of which the graphs are built; the other is an export. */
const AUTHORS = ["sdxl", "lcm"];
/** Transformers, all as their authors publish them: read by Qwen3, by CLIP and T5, by Gemma, with the autoencoder of each. */
const TRANSFORMERS = ["klein-guided", "z-image-negative", "sd35-negative", "sana-wide"];

/** A hub of these packages, and what ends it. */
async function hubOf(models: string) {
  const hub = await Hub.start(["--models-dir", models]);
  return { hub, stop: async () => (await hub.stop(), rmSync(models, { recursive: true, force: true })) };
}

const folder = () => mkdtempSync(join(tmpdir(), "demo-hub-families-"));

test("pipelines of three families make the pictures of diffusers on WebGPU", async ({ page }, info) => {
  const models = folder();
  const chosen = cases(NAMES);
  for (const one of chosen) add(models, one, AUTHORS.includes(one.folder) ? join("authors", one.folder) : one.folder);
  const { hub, stop } = await hubOf(models);
  try {
    for (const one of chosen) {
      await openCase(page, hub.url, one);
      await makeHere(page);
      await expectGolden(page, one, "in the browser");
      await page.getByTestId("save").click();
      await expect(page.getByTestId("permalink")).toBeVisible();

      await page.getByTestId("policy").selectOption("prefer_server");
      await page.getByTestId("generate").click();
      await expect(page.getByTestId("private-note")).toBeVisible({ timeout: 120_000 });
      await picture(page);
      await expectGolden(page, one, "on the server");
    }
    // What a model offers is under “More settings”, and nothing of it for one that offers nothing.
    await expect(page.getByTestId("sampler")).toHaveValue("");
    await accessible(page);
    await look(page, info, "model-options");
  } finally {
    await page.goto("about:blank");
    await stop();
  }
});

test("transformers that language models read for make the pictures of diffusers on WebGPU", async ({ page }) => {
  const models = folder();
  const chosen = cases(TRANSFORMERS);
  for (const one of chosen) add(models, one);
  const { hub, stop } = await hubOf(models);
  try {
    for (const one of chosen) {
      await openCase(page, hub.url, one);
      await makeHere(page);
      await expectGolden(page, one, "in the browser");
    }
  } finally {
    await page.goto("about:blank");
    await stop();
  }
});

test("a LoRA acts as diffusers adds it, by a tag in the prompt and by the form", async ({ page }) => {
  const models = folder();
  const [tagged, both] = cases(["sd15-lora-named", "sd15-lora-both"]) as [Case, Case];
  add(models, tagged);
  const { hub, stop } = await hubOf(models);
  try {
    // One LoRA is off, the other has a weight of its own for the text encoder.
    await openCase(page, hub.url, tagged);
    await makeHere(page);
    await expectGolden(page, tagged, "by tags");

    const plain = both.prompt.replace(/<.*>/, "");
    await openCase(page, hub.url, { ...both, prompt: plain });
    const list = page.getByTestId("loras");
    await list.locator("summary").click();
    await list.getByTestId("lora-1").fill("1");
    await list.getByTestId("lora-1").press("Tab");
    await expect(page.getByTestId("prompt")).toHaveValue(`${plain} <lora:sd15.soft:1>`);
    await makeHere(page);
    await expectGolden(page, both, "by the form");
    await page.getByTestId("save").click();
    await expect(page.getByTestId("permalink")).toBeVisible();
  } finally {
    await page.goto("about:blank");
    await stop();
  }
});
