import { expect, type Page, type TestInfo } from "@playwright/test";
import { accessible } from "./axe.ts";

/** Photographs a page wide and narrow, light and dark; it must fit and have no serious fault. */
export async function look(page: Page, info: TestInfo, name: string): Promise<void> {
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
