import { withoutWebGpu } from "../support/chromium.ts";
import { ask, expect, open, picture, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });

  test("every page can be read", async ({ page, watch }) => {
    await page.goto("/");
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.getByTestId("prompt")).toBeVisible();
    await expect(page.getByText(/JavaScript/)).toBeVisible();
    await page.goto("/gallery");
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await page.goto("/models/demo-hub/glyph");
    await expect(page.getByText("Apache-2.0").first()).toBeVisible();
    await expect(page.locator('a[href*="arxiv.org/abs/"]').first()).toBeVisible();
    // With scripts switched off, Chromium reports the scripts that it does not load as failed requests.
    const scripts = /^failed: GET \S+\/client-[0-9a-f]{16}\.js csp$/;
    watch.complaints.splice(0, watch.complaints.length, ...watch.complaints.filter((c) => !scripts.test(c)));
  });
});

test("an address that leads nowhere answers 404 in words", async ({ page, watch }) => {
  const response = await page.goto("/nowhere");
  expect(response?.status()).toBe(404);
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  expect(watch.complaints.every((c) => c.includes("404"))).toBe(true);
  watch.complaints.length = 0;
});

for (const [width, height] of [[1280, 900], [390, 844]] as const) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`pages fit ${width} px, ${colorScheme}`, async ({ page }, info) => {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const look = async (name: string) => {
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        expect(overflow, `${name} scrolls sideways`).toBeLessThanOrEqual(0);
        await page.screenshot({ path: info.outputPath(`${name}-${width}-${colorScheme}.png`), fullPage: true });
      };
      await open(page, "/");
      await look("empty");
      await page.getByTestId("prompt").fill(" ");
      await page.getByTestId("generate").click();
      await expect(page.getByTestId("error")).toBeVisible();
      await look("error");
      await ask(page, { prompt: "red apple, flat style", seed: 1, steps: 8, policy: "prefer_server" });
      await picture(page);
      await look("done");
      await page.getByTestId("save").click();
      await page.getByTestId("permalink").click();
      await expect(page).toHaveURL(/\/i\//);
      await look("permalink");
      await open(page, "/gallery");
      await look("gallery");
      await open(page, "/models/demo-hub/glyph");
      await look("model");
    });
  }
}
