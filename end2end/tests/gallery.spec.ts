import { accessible } from "../support/axe.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { fill } from "../support/pictures.ts";
import { Hub } from "../support/hub.ts";
import { expect, open, test as base } from "../support/test.ts";

/** Three pages of 24 pictures. */
const PICTURES = 60;

const test = base.extend<object, { hub: Hub }>({
  hub: [
    async ({}, use) => {
      const hub = await Hub.start();
      await fill(hub, PICTURES, 100);
      await use(hub);
      await hub.stop();
    },
    { scope: "worker", timeout: 240_000 },
  ],
});

test.use({ launchOptions: withoutWebGpu, viewport: { width: 1280, height: 600 } });

const tiles = ".tiles > li";

test("the gallery grows towards its end, and the way back leads to the same place", async ({ page, watch }) => {
  await open(page, "/");
  await page.getByRole("link", { name: "Gallery" }).click();
  await expect(page.getByTestId("shown")).toBeVisible();
  const first = await page.locator(tiles).count();
  expect(first).toBeLessThan(PICTURES);
  await expect(async () => {
    await page.keyboard.press("End");
    await expect(page.locator(tiles)).toHaveCount(PICTURES, { timeout: 1_000 });
  }).toPass();
  await expect(page.getByTestId("shown")).toContainText("60 pictures; there are no older ones");
  await expect(page.getByTestId("older")).toBeHidden();

  const tile = page.locator(`${tiles} > a`).nth(50);
  await tile.scrollIntoViewIfNeeded();
  const href = await tile.getAttribute("href");
  const before = await page.evaluate(() => window.scrollY);
  expect(before).toBeGreaterThan(600);
  await tile.click();
  await expect(page).toHaveURL(new RegExp(`${href}$`));
  const asked = watch.requests.length;
  await page.goBack();
  await expect(page.locator(tiles)).toHaveCount(PICTURES);
  await expect.poll(() => page.evaluate(() => window.scrollY)).toBe(before);
  await expect(page.locator(`a[href="${href}"]`)).toBeInViewport();
  expect(watch.requests.slice(asked).filter((r) => r.includes("/api/v1/images?"))).toEqual([]);

  await page.getByRole("link", { name: "Gallery" }).click();
  await page.getByRole("link", { name: "Create" }).click();
  await page.getByRole("link", { name: "Gallery" }).click();
  await expect(page.getByRole("heading", { name: "Gallery" })).toBeInViewport();
});

test("older pictures come at a press of Enter, and the focus goes to the first of them", async ({ page }) => {
  // Without the observer the end is not loaded by itself.
  await page.addInitScript(() => {
    Object.assign(window, {
      IntersectionObserver: class {
        observe() {}
        unobserve() {}
        disconnect() {}
      },
    });
  });
  await open(page, "/gallery");
  await expect(page.locator(tiles)).toHaveCount(24);
  await page.getByTestId("older").press("Enter");
  await expect(page.locator(tiles)).toHaveCount(48);
  await expect(page.locator(`${tiles} > a`).nth(24)).toBeFocused();
  await expect(page).toHaveURL(/\/gallery$/);
});

test("filters narrow the list and are in the address", async ({ page }) => {
  await open(page, "/gallery");
  await page.getByTestId("filter-model").selectOption("demo-hub/glyph");
  await expect(page).toHaveURL(/model=demo-hub%2Fglyph/);
  await expect(page.locator(tiles).first()).toBeVisible();
  await page.getByTestId("filter-creator").selectOption("demo-hub");
  await expect(page).toHaveURL(/creator=demo-hub/);
  await page.getByTestId("mine").click();
  await expect(page.getByRole("heading", { name: "My pictures" })).toBeVisible();
  await expect(page.locator(tiles)).toHaveCount(0);
  await expect(page.getByTestId("export")).toHaveAttribute("href", "/api/v1/images/export");
  await accessible(page);
  await page.goto("/gallery");
  await accessible(page);
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });

  test("links lead through all pages", async ({ page, watch }) => {
    await page.goto("/gallery");
    const seen = new Set<string>();
    for (let pages = 1; ; pages++) {
      for (const link of await page.locator(`${tiles} > a`).all()) seen.add((await link.getAttribute("href")) ?? "");
      const older = page.getByTestId("older");
      if (!(await older.isVisible())) {
        expect(pages).toBe(3);
        break;
      }
      await older.click();
      await expect(page).toHaveURL(/cursor=/);
    }
    expect(seen.size).toBe(PICTURES);
    await page.getByRole("link", { name: "Newest pictures" }).click();
    await expect(page).toHaveURL(/\/gallery$/);
    await expect(page.getByRole("button", { name: "Show" })).toBeVisible();
    // With scripts switched off, Chromium reports the scripts that it does not load as failed requests.
    const scripts = /^failed: GET \S+\/client-[0-9a-f]{16}\.js csp$/;
    watch.complaints.splice(0, watch.complaints.length, ...watch.complaints.filter((c) => !scripts.test(c)));
  });
});
