import { AxeBuilder } from "@axe-core/playwright";
import { type Page, expect } from "@playwright/test";

const SERIOUS = ["serious", "critical"];

/** Fails when axe-core finds a serious or critical fault on the page, naming rule and elements. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const faults = violations
    .filter(({ impact }) => SERIOUS.includes(impact ?? ""))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target.join(" ")).join("; ")}`);
  expect(faults, `${page.url()} has faults of accessibility`).toEqual([]);
}
