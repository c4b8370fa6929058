import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { built, tolerance } from "./built.ts";
import { expect, open, picture, pixels, shown } from "./test.ts";

/** A picture that diffusers made with a tiny pipeline. */
export interface Case {
  name: string;
  /** Of the pipeline, below that of the fixtures. */
  folder: string;
  golden: string;
  prompt: string;
  negative_prompt: string | null;
  width: number;
  height: number;
  steps: number;
  guidance_scale: number;
  seed: number;
  /** What `--lora` is given. */
  loras?: string[];
}

/** The cases of these names, which lie in several lists. */
export function cases(names: string[]): Case[] {
  const lists = ["cases", "language", "t5", "gemma", "lora"].map((list) => JSON.parse(readFileSync(join(built.families(), `${list}.json`), "utf8")));
  const all: Case[] = lists.flat();
  return names.map((name) => {
    const found = all.find((one) => one.name === name);
    if (!found) throw new Error(`the fixtures have no case ${name}`);
    return found;
  });
}

/** Id of the model that a case's pipeline is added as. */
export const modelOf = ({ folder }: Case) => `test/${folder.replace(/.*\//, "")}`;

/** Adds the pipeline of a case as `demo-hub models add` does, from `folder` where it is not the case's own. */
export function add(models: string, one: Case, folder = one.folder): void {
  const source = join(built.families(), folder);
  const options = ["--id", modelOf(one), "--license", "mit", "--models-dir", models];
  // The sides that its authors' networks were trained for are not in their files.
  if (existsSync(join(source, "transformer"))) options.push("--size", "64x64");
  for (const lora of one.loras ?? []) options.push("--lora", join(built.families(), lora));
  execFileSync(built.server(), ["models", "add", source, ...options], { stdio: "inherit" });
}

/** Opens the studio of `hub` with a case's request, in the browser only. */
export async function openCase(page: Page, hub: string, one: Case): Promise<void> {
  const query = new URLSearchParams({
    "accept-software": "1",
    policy: "browser_only",
    model: modelOf(one),
    prompt: one.prompt,
    seed: `${one.seed}`,
    steps: `${one.steps}`,
    guidance: `${one.guidance_scale}`,
    width: `${one.width}`,
    height: `${one.height}`,
    ...(one.negative_prompt && { negative_prompt: one.negative_prompt }),
  });
  await open(page, `${hub}/?${query}`);
}

/** Makes the picture that the form asks for, on WebGPU. */
export async function makeHere(page: Page): Promise<void> {
  await page.getByTestId("generate").click();
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("WebGPU");
}

/** Holds the picture that the page shows against diffusers'. */
export async function expectGolden(page: Page, one: Case, where: string): Promise<void> {
  const theirs = golden(one.golden);
  const ours = await pixels(page, await shown(page));
  expect([ours.width, ours.height], `${one.name} ${where}`).toEqual([one.width, one.height]);
  const worst = Math.max(...ours.rgb.map((value, i) => Math.abs(value - theirs[i])));
  expect(worst, `${one.name} ${where}`).toBeLessThanOrEqual(tolerance());
}

/** The picture of diffusers: a tensor of a safetensors file. */
function golden(file: string): number[] {
  const bytes = readFileSync(join(built.families(), file));
  const length = Number(bytes.readBigUInt64LE(0));
  const { image } = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const [from, to] = image.data_offsets.map((offset: number) => 8 + length + offset);
  return [...bytes.subarray(from, to)];
}
