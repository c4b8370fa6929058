import { size } from "../support/built.ts";
import { accessible } from "../support/axe.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { save } from "../support/pictures.ts";
import { textsOf } from "../support/png.ts";
import { expect, open, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu, permissions: ["clipboard-read", "clipboard-write"] });

const pixels = () => size().width * size().height;

test("a permalink is a recipe", async ({ page, hub, watch }) => {
  const link = await save(page, "red apple, flat style", 11);
  await test.step("link and recipe are copied", async () => {
    await open(page, link);
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
    await page.getByRole("button", { name: "Copy link" }).click();
    await expect.poll(clipboard).toBe(`${hub.url}${link}`);
    await page.getByRole("button", { name: "Copy recipe" }).click();
    await expect.poll(clipboard).toMatch(/^red apple, flat style\nSteps: 2, Sampler: Euler, CFG scale: [\d.]+, Seed: 11, Size: \d+x\d+, /);
    expect(await clipboard()).toContain(`, Size: ${size().width}x${size().height}, `);
  });

  await test.step("the file says how it was made, and that a model made it", async () => {
    const src = await page.getByTestId("picture").getAttribute("src");
    const texts = textsOf(Buffer.from(await (await fetch(`${hub.url}${src}`)).arrayBuffer()));
    expect(texts.parameters).toContain("red apple, flat style\nSteps: 2, ");
    expect(JSON.parse(texts["demo-hub"]).place).toBe("browser");
    expect(texts["XML:com.adobe.xmp"]).toContain('"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"');
  });

  await test.step("made again it is the same picture", async () => {
    await page.getByTestId("rerun").click();
    await expect(page.getByTestId("score")).toHaveText(`The same picture: all ${pixels()} pixels are equal.`, { timeout: 120_000 });
    await expect(page.getByTestId("again-where")).toContainText("rten");
    const line = page.getByTestId("slider");
    const place = () => line.evaluate((frame) => getComputedStyle(frame).getPropertyValue("--split"));
    expect(await place()).toBe("50%");
    await page.getByTestId("split").press("End");
    expect(await place()).toBe("100%");
    await accessible(page);
  });

  await test.step("the settings fill the form", async () => {
    await page.getByTestId("use-settings").click();
    await expect(page.getByTestId("prompt")).toHaveValue("red apple, flat style");
    await expect(page.getByTestId("seed")).toHaveValue("11");
    await expect(page.getByTestId("steps")).toHaveValue("2");
  });

  expect(watch.requests.filter((r) => r.includes("/api/v1/jobs"))).toEqual([]);
});

test("a picture that is not that of its settings is told apart", async ({ page }) => {
  const link = await save(page, "green heart", 21);
  // The record as it would be, had the picture been made from another seed.
  await page.route(`**/api/v1/images/${link.slice(3)}`, async (route) => {
    const record = await (await route.fetch()).json();
    record.recipe.request.seed = 22;
    await route.fulfill({ json: record });
  });
  await open(page, "/gallery");
  await page.locator(`a[href="${link}"]`).click();
  await page.getByTestId("rerun").click();
  await expect(page.getByTestId("score")).toContainText(new RegExp(`PSNR \\d+\\.\\d dB; \\d+ of ${pixels()} pixels differ`), { timeout: 120_000 });
  await expect(page.getByTestId("score")).not.toContainText("The same picture");
});
