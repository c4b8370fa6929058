import { accessible } from "../support/axe.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { expect, open, pixels, test } from "../support/test.ts";
import { tolerance } from "../support/built.ts";

test.use({ launchOptions: withoutWebGpu });

const LINK = "/compare?prompt=cat%20face&seed=7&steps=2&a=demo-hub%2Fglyph%40browser&b=demo-hub%2Fglyph%40server";

test("browser against server: two pictures, their times, a slider, and a link that brings it back", async ({ page, context, hub }, info) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await open(page, "/compare");
  await page.getByTestId("prompt").fill("cat face");
  await page.getByTestId("seed").fill("7");
  await page.getByTestId("steps").fill("2");
  await page.getByTestId("place-a").selectOption("browser");
  await page.getByTestId("place-b").selectOption("server");
  await page.getByTestId("compare").click();
  await expect(page).toHaveURL(`${hub.url}${LINK}`);
  for (const side of ["a", "b"]) {
    await expect(page.getByTestId(`side-${side}`)).toHaveAttribute("data-state", "done", { timeout: 5 * 60_000 });
  }
  await expect(page.getByTestId("side-a")).toContainText("in this browser");
  await expect(page.getByTestId("side-b")).toContainText("on the server");

  await test.step("the same seed gives the same picture within the tolerance", async () => {
    const shown = async (side: string) => (await page.getByTestId(`side-${side}`).locator("img").getAttribute("src")) ?? "";
    const [here, there] = [await pixels(page, await shown("a")), await pixels(page, await shown("b"))];
    expect(here.rgb.length).toBe(there.rgb.length);
    const worst = Math.max(...here.rgb.map((value, i) => Math.abs(value - there.rgb[i])));
    expect(worst).toBeLessThanOrEqual(tolerance());
  });

  await test.step("both sides have their measured times", async () => {
    const rows = page.getByTestId("times-row");
    await expect(rows).toHaveCount(2);
    for (const row of await rows.all()) {
      const cells = await row.locator("td").allInnerTexts();
      expect(cells[1]).toBe("2");
      for (const time of cells.slice(2)) expect(time).toMatch(/^\d[\d.]* (s|min)/);
    }
  });

  await test.step("the slider moves by keyboard", async () => {
    const left = page.getByTestId("slider").locator(".split-left");
    const clip = () => left.evaluate((image) => getComputedStyle(image).clipPath);
    const before = await clip();
    await page.getByTestId("split").focus();
    await page.keyboard.press("Home");
    await expect.poll(clip).not.toBe(before);
    await page.keyboard.press("End");
  });

  for (const [width, height] of [[1280, 900], [390, 844]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow, "the comparison scrolls sideways").toBeLessThanOrEqual(0);
      await page.screenshot({ path: info.outputPath(`compared-${width}-${colorScheme}.png`), fullPage: true });
      await accessible(page);
    }
  }

  await test.step("the link opens the same comparison", async () => {
    await page.getByRole("button", { name: "Copy link" }).click();
    await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
    const link = await page.evaluate(() => navigator.clipboard.readText());
    expect(link).toBe(`${hub.url}${LINK}`);
    await open(page, link);
    await expect(page.getByTestId("prompt")).toHaveValue("cat face");
    await expect(page.getByTestId("seed")).toHaveValue("7");
    await expect(page.getByTestId("place-a")).toHaveValue("browser");
    await expect(page.getByTestId("place-b")).toHaveValue("server");
  });
});

test("a third side is compared too, a stopped comparison stays stopped, and a bad form is explained", async ({ page }) => {
  await open(page, "/compare?seed=7");
  await page.getByTestId("compare").click();
  await expect(page.getByTestId("error")).toContainText("prompt is empty");
  await page.getByTestId("prompt").fill("cat face");
  await page.getByTestId("steps").fill("50");
  await page.getByTestId("add-side").click();
  for (const side of ["a", "b", "c"]) await page.getByTestId(`place-${side}`).selectOption("server");
  await page.getByTestId("compare").click();
  await expect(page.getByTestId("side-a")).toHaveAttribute("data-state", "active");
  await expect(page.getByTestId("side-c")).toContainText("Waiting for its turn");
  await page.getByTestId("stop").click();
  await expect(page.getByTestId("side-a")).toHaveAttribute("data-state", "cancelled", { timeout: 60_000 });
  await expect(page.getByTestId("compare")).toBeEnabled();
  await expect(page.getByTestId("side-b")).toHaveAttribute("data-state", "idle");
});
