import { AxeBuilder } from "@axe-core/playwright";
import { type Page, expect } from "@playwright/test";

const SERIOUS = ["serious", "critical"];

/** Fails when axe-core finds a serious or critical fault on the page, naming rule and elements. */
export async function accessible(page: Page): Promise<void> {
  await still(page);
  const { violations } = await new AxeBuilder({ page }).analyze();
  const faults = violations
    .filter(({ impact }) => SERIOUS.includes(impact ?? ""))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target.join(" ")).join("; ")}`);
  expect(faults, `${page.url()} has faults of accessibility`).toEqual([]);
}

/** Waits for transitions to end: half-way from light to dark, a colour has the contrast of neither. */
function still(page: Page): Promise<unknown> {
  return page.evaluate(() => {
    const ending = document.getAnimations().filter(({ effect }) => Number.isFinite(effect?.getComputedTiming().endTime));
    return Promise.allSettled(ending.map(({ finished }) => finished)).then(() => undefined);
  });
}
