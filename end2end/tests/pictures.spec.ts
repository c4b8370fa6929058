import type { Page, TestInfo } from "@playwright/test";
import { accessible } from "../support/axe.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { drop, fill, save } from "../support/pictures.ts";
import { pngWith } from "../support/png.ts";
import { expect, open, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

/** Photographs a page wide and narrow, light and dark; it must fit and have no serious fault. */
async function look(page: Page, info: TestInfo, name: string): Promise<void> {
  for (const [width, height] of [[1280, 900], [390, 844]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow, `${name} scrolls sideways at ${width} px`).toBeLessThanOrEqual(0);
      expect(await overlaps(page), `${name} at ${width} px`).toEqual([]);
      await accessible(page);
      await page.screenshot({ path: info.outputPath(`${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
}

/** Pairs of links, labels and controls that lie over each other without one being part of the other. */
function overlaps(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const all = Array.from(document.querySelectorAll<HTMLElement>("main :is(a, button, label, select, input, textarea)"));
    const shown = all.filter((element) => element.checkVisibility()).map((element) => ({ element, box: element.getBoundingClientRect() }));
    const over = (a: DOMRect, b: DOMRect) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    return shown.flatMap((a, i) =>
      shown
        .slice(i + 1)
        .filter((b) => !a.element.contains(b.element) && over(a.box, b.box))
        .map((b) => `${a.element.innerText || a.element.id} over ${b.element.innerText || b.element.id}`),
    );
  });
}

test("gallery, permalink and dropped files fit every window", async ({ page, hub, browser }, info) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await open(page, "/gallery?mine=true");
  await look(page, info, "mine-empty");
  await fill(hub, 9, 900);
  const link = await save(page, "red apple with a long stalk, on a table of old oak wood, flat style", 41, true);
  await open(page, "/gallery");
  await look(page, info, "gallery");
  await open(page, "/gallery?mine=true");
  await look(page, info, "mine");
  await open(page, link);
  await look(page, info, "owner");
  await page.getByTestId("rerun").click();
  await expect(page.getByTestId("score")).toBeVisible({ timeout: 120_000 });
  await look(page, info, "again");
  const context = await browser.newContext({ baseURL: hub.url, reducedMotion: "reduce" });
  const visitor = await context.newPage();
  await open(visitor, link);
  await look(visitor, info, "visitor");
  await context.close();
  await open(page, "/");
  const parameters = "scenery\nNegative prompt: watermark\nSteps: 20, Sampler: Euler a, CFG scale: 8, Seed: 5, Size: 512x512, Model: sd_xl_base_1.0, Version: v1.10.1";
  await drop(page, "x.png", "image/png", pngWith({ parameters }));
  await look(page, info, "dropped");
  await drop(page, "x.png", "image/png", Buffer.from("no"));
  await look(page, info, "refused");
  const transfer = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([""], "x.png", { type: "image/png" }));
    return transfer;
  });
  await page.dispatchEvent("body", "dragover", { dataTransfer: transfer });
  await look(page, info, "dragging");
});
