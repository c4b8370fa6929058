import { accessible } from "../support/axe.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { expect, open, test } from "../support/test.ts";

const GLYPH = "/models/demo-hub/glyph";

test.use({ launchOptions: withoutWebGpu });

test("the verdict on a model is the server, with the reason, before any download", async ({ page, watch }) => {
  await open(page, GLYPH);
  const verdict = page.getByTestId("verdict");
  await expect(verdict).toHaveAttribute("data-kind", "on_server", { timeout: 60_000 });
  await expect(verdict).toContainText("On the server");
  await expect(verdict).toContainText("no WebGPU");
  expect(watch.requests.filter((r) => /\.onnx|manifest\.json/.test(r))).toEqual([]);
});

test("the card links authors, licence, paper and creator", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await open(page, "/");
  await page.getByRole("link", { name: "Models", exact: true }).click();
  await expect(page).toHaveURL(/\/models$/);
  await expect(page).toHaveTitle("Models · Demo Hub");
  const card = page.getByTestId("model-card").filter({ hasText: "Glyph" });
  await expect(card).toBeVisible();
  await card.getByRole("link", { name: "Glyph" }).click();
  await expect(page).toHaveURL(new RegExp(`${GLYPH}$`));
  await expect(page).toHaveTitle("Glyph by demo-hub · Demo Hub");
  await expect(page.getByTestId("licence")).toContainText("Apache");
  await expect(page.getByTestId("authors").first().getByRole("link")).not.toHaveCount(0);
  await expect(page.locator('a[href^="https://arxiv.org/abs/"]').first()).toBeVisible();
  await page.getByText("Cite as BibTeX").first().click();
  const entry = await page.getByTestId("bibtex").first().innerText();
  expect(entry).toMatch(/^@misc\{\w+,/);
  await page.getByRole("button", { name: "Copy BibTeX" }).first().click();
  await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(entry);
  await page.getByRole("link", { name: "demo-hub", exact: true }).click();
  await expect(page).toHaveURL(/\/creators\/demo-hub$/);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("demo-hub");
  await expect(page.getByTestId("model-card")).not.toHaveCount(0);
});

test("filters narrow the catalogue and stand in the address", async ({ page }) => {
  await open(page, "/models");
  await page.getByTestId("search").fill("no model has this name");
  await page.getByTestId("apply").click();
  await expect(page).toHaveURL(/q=no\+model|q=no%20model/);
  await expect(page.getByTestId("model-card")).toHaveCount(0);
  await page.getByRole("link", { name: "Show every model" }).click();
  await expect(page.getByTestId("model-card")).not.toHaveCount(0);
  await expect(page.getByTestId("verdict").first()).not.toHaveAttribute("data-kind", "open", { timeout: 60_000 });
  // This browser has no WebGPU, so that nothing is left of what runs "in my browser".
  await open(page, "/models?runs=browser");
  await expect(page.getByTestId("model-card").filter({ visible: true })).toHaveCount(0, { timeout: 60_000 });
});

test("the keyboard alone leads from the start to a paper", async ({ page }) => {
  await open(page, "/");
  const reach = async (accept: (focused: { href: string; text: string }) => boolean) => {
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const element = document.activeElement;
        return { href: element?.getAttribute("href") ?? "", text: element?.textContent?.trim() ?? "" };
      });
      if (accept(focused)) return;
    }
    throw new Error("Tab never got there");
  };
  await reach(({ href }) => href === "/models");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/models$/);
  await expect(page.getByTestId("model-card")).not.toHaveCount(0);
  await reach(({ href }) => href === GLYPH);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(new RegExp(`${GLYPH}$`));
  await expect(page.getByTestId("bibtex").first()).toBeHidden();
  await reach(({ text }) => text === "Cite as BibTeX");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("bibtex").first()).toBeVisible();
  await reach(({ href }) => href.startsWith("https://arxiv.org/") || href === "/models");
});

for (const [width, height] of [[1280, 900], [390, 844]] as const) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`the catalogue fits ${width} px, ${colorScheme}, and axe finds nothing serious`, async ({ page }, info) => {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      for (const [name, path] of [
        ["models", "/models"],
        ["model", GLYPH],
        ["creator", "/creators/demo-hub"],
        ["compare", "/compare?prompt=red%20apple&seed=7"],
      ] as const) {
        await open(page, path);
        if (name !== "compare") await expect(page.getByTestId("verdict").first()).not.toHaveAttribute("data-kind", "open", { timeout: 60_000 });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        expect(overflow, `${name} scrolls sideways`).toBeLessThanOrEqual(0);
        await page.screenshot({ path: info.outputPath(`${name}-${width}-${colorScheme}.png`), fullPage: true });
        await accessible(page);
      }
    });
  }
}
