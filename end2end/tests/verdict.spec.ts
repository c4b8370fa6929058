import { withWebGpu } from "../support/chromium.ts";
import { expect, open, test } from "../support/test.ts";

const GLYPH = "/models/demo-hub/glyph";

/** What the page found out about this browser, as it keeps it for the visit. */
interface Kept {
  webgpu: boolean;
  adapter: { software: boolean; speed: { flops_per_second: number; dispatch_ms: number; round_trip_ms: number } | null } | null;
}

test.use({ launchOptions: withWebGpu });

test("the software adapter is measured, does not count, and counts where that is asked for", async ({ page }) => {
  await open(page, GLYPH);
  const verdict = page.getByTestId("verdict");
  await expect(verdict).toHaveAttribute("data-kind", "on_server", { timeout: 120_000 });
  await expect(verdict).toContainText("slow software one");
  const kept = await page.evaluate(() => JSON.parse(sessionStorage.getItem("demo-hub-capability") ?? "[]")[1]) as Kept;
  expect(kept.webgpu).toBe(true);
  expect(kept.adapter?.software).toBe(true);
  const speed = kept.adapter?.speed;
  expect(speed).toBeTruthy();
  console.log(`measured: ${JSON.stringify(speed)}`);
  // A processor multiplies faster than 10 million times a second and slower than any GPU of today.
  expect(speed?.flops_per_second).toBeGreaterThan(1e7);
  expect(speed?.flops_per_second).toBeLessThan(1e15);

  await open(page, `/?accept-software=1`);
  await page.getByRole("link", { name: "Models", exact: true }).click();
  await expect(page.getByTestId("verdict").first()).toHaveAttribute("data-kind", /^runs_here/, { timeout: 60_000 });
  await expect(page.getByTestId("verdict").first()).toContainText(/at least .+ a picture/);
  await expect(page.getByTestId("verdict").first()).toContainText(/FLOP\/s/);
});
