import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessible } from "../support/axe.ts";
import { built, tolerance } from "../support/built.ts";
import { withWebGpu } from "../support/chromium.ts";
import { Hub } from "../support/hub.ts";
import { look } from "../support/look.ts";
import { expect, open, picture, pixels, shown, test } from "../support/test.ts";

test.use({ launchOptions: withWebGpu });

interface Case {
  name: string;
  folder: string;
  golden: string;
  prompt: string;
  negative_prompt: string | null;
  width: number;
  height: number;
  steps: number;
  guidance_scale: number;
  seed: number;
}

/** Of each family one: another size, a second text encoder with sizes and a negative prompt, an embedded guidance scale. */
const NAMES = ["sd15-wide", "sdxl-negative", "lcm-four"];
/** Those that are added as their authors publish them, of which the graphs are built; the other is an export. */
const AUTHORS = ["sdxl", "lcm"];

const cases = (): Case[] => JSON.parse(readFileSync(join(built.families(), "cases.json"), "utf8"));

/** The picture of diffusers: a tensor of a safetensors file. */
function golden(file: string): number[] {
  const bytes = readFileSync(join(built.families(), file));
  const length = Number(bytes.readBigUInt64LE(0));
  const { image } = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const [from, to] = image.data_offsets.map((offset: number) => 8 + length + offset);
  return [...bytes.subarray(from, to)];
}

test("pipelines of three families make the pictures of diffusers on WebGPU", async ({ page }, info) => {
  const models = mkdtempSync(join(tmpdir(), "demo-hub-families-"));
  const chosen = cases().filter(({ name }) => NAMES.includes(name));
  expect(chosen.length).toBe(NAMES.length);
  for (const { folder } of chosen) {
    const options = ["--id", `test/${folder}`, "--license", "mit", "--models-dir", models];
    const source = AUTHORS.includes(folder) ? join("authors", folder) : folder;
    execFileSync(built.server(), ["models", "add", join(built.families(), source), ...options], { stdio: "inherit" });
  }
  const hub = await Hub.start(["--models-dir", models]);
  try {
    for (const one of chosen) {
      const query = new URLSearchParams({
        "accept-software": "1",
        policy: "browser_only",
        model: `test/${one.folder}`,
        prompt: one.prompt,
        seed: `${one.seed}`,
        steps: `${one.steps}`,
        guidance: `${one.guidance_scale}`,
        width: `${one.width}`,
        height: `${one.height}`,
        ...(one.negative_prompt && { negative_prompt: one.negative_prompt }),
      });
      await open(page, `${hub.url}/?${query}`);
      await page.getByTestId("generate").click();
      await picture(page);
      await expect(page.getByTestId("where")).toContainText("WebGPU");
      const theirs = golden(one.golden);
      const compare = async (where: string) => {
        const ours = await pixels(page, await shown(page));
        expect([ours.width, ours.height], `${one.name} ${where}`).toEqual([one.width, one.height]);
        const worst = Math.max(...ours.rgb.map((value, i) => Math.abs(value - theirs[i])));
        expect(worst, `${one.name} ${where}`).toBeLessThanOrEqual(tolerance());
      };
      await compare("in the browser");
      await page.getByTestId("save").click();
      await expect(page.getByTestId("permalink")).toBeVisible();

      await page.getByTestId("policy").selectOption("prefer_server");
      await page.getByTestId("generate").click();
      await expect(page.getByTestId("private-note")).toBeVisible({ timeout: 120_000 });
      await picture(page);
      await compare("on the server");
    }
    // What a model offers is under “More settings”, and nothing of it for one that offers nothing.
    await expect(page.getByTestId("sampler")).toHaveValue("");
    await accessible(page);
    await look(page, info, "model-options");
  } finally {
    await page.goto("about:blank");
    await hub.stop();
    rmSync(models, { recursive: true, force: true });
  }
});
