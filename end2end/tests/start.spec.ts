import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
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

/** How far two pictures of one size are apart at most. */
function apart(one: number[], other: number[]): number {
  expect(one.length).toBe(other.length);
  return Math.max(...one.map((value, i) => Math.abs(value - other[i])));
}

test("pictures begin with another one, here and on the server", async ({ page }, info) => {
  const models = mkdtempSync(join(tmpdir(), "demo-hub-start-"));
  const added = ["--id", "test/sd15", "--license", "mit", "--models-dir", models];
  execFileSync(built.server(), ["models", "add", join(built.families(), "sd15"), ...added], { stdio: "inherit" });
  const hub = await Hub.start(["--models-dir", models]);
  try {
    const query = new URLSearchParams({
      "accept-software": "1",
      policy: "browser_only",
      model: "test/sd15",
      prompt: "a lighthouse",
      seed: "5",
      steps: "4",
    });
    await open(page, `${hub.url}/?${query}`);
    await page.getByText("Start from a picture").click();
    await page.getByTestId("start-file").setInputFiles({
      name: "words.png",
      mimeType: "image/png",
      buffer: Buffer.from("no picture"),
    });
    await expect(page.getByTestId("start-refused")).toContainText("neither PNG, JPEG nor WebP");

    const file = join(built.models(), "glyph", "example.png");
    await page.getByTestId("start-file").setInputFiles(file);
    await expect(page.getByTestId("start-image")).toBeVisible();
    await expect(page.getByTestId("start-refused")).toHaveCount(0);
    await page.getByTestId("strength").fill("2");
    await page.getByTestId("generate").click();
    await expect(page.getByTestId("error")).toContainText("strength");
    await page.getByTestId("strength").fill("0.5");
    await accessible(page);
    await look(page, info, "start-picture");

    await page.getByTestId("generate").click();
    await picture(page);
    await expect(page.getByTestId("where")).toContainText("WebGPU");
    const here = await pixels(page, await shown(page));
    await page.getByTestId("save").click();
    const link = await page.getByTestId("permalink").getAttribute("href");
    const record = await (await page.request.get(`${hub.url}${link}`, { headers: { accept: "application/json" } })).json();
    const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
    expect(record.recipe.start).toEqual({ sha256, strength: 0.5 });

    await page.getByTestId("policy").selectOption("prefer_server");
    await page.getByTestId("generate").click();
    await expect(page.getByTestId("private-note")).toBeVisible({ timeout: 120_000 });
    await picture(page);
    const there = await pixels(page, await shown(page));
    expect(apart(here.rgb, there.rgb)).toBeLessThanOrEqual(tolerance());

    // What was made is what the next one begins with; and without any, the picture is another one.
    await page.getByTestId("use-as-start").click();
    await expect(page.getByTestId("start-image")).toHaveAttribute("alt", /the finished picture/);
    await page.getByTestId("start-remove").click();
    await expect(page.getByTestId("start-image")).toHaveCount(0);
    await page.getByTestId("generate").click();
    await picture(page);
    const noise = await pixels(page, await shown(page));
    expect(apart(noise.rgb, there.rgb)).toBeGreaterThan(tolerance());
  } finally {
    await page.goto("about:blank");
    await hub.stop();
    rmSync(models, { recursive: true, force: true });
  }
});
