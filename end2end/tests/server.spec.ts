import { tolerance } from "../support/built.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { ask, expect, open, picture, pixels, shown, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

const cat = { prompt: "cat face, blob style", seed: 7, steps: 8 };

test("without WebGPU the server makes the picture and the page says why", async ({ page, watch }) => {
  await open(page, "/");
  await ask(page, cat);
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("server");
  await expect(page.getByTestId("where")).toContainText("no WebGPU");
  expect(watch.requests.filter((r) => r.startsWith("POST ") && r.endsWith("/api/v1/jobs")).length).toBe(1);
  await page.getByTestId("permalink").click();
  await expect(page).toHaveURL(/\/i\//);
  await expect(page.getByTestId("picture")).toBeVisible();
});

test("only in my browser runs on the CPU here and agrees with the server", async ({ page, watch }) => {
  await open(page, "/");
  await ask(page, { ...cat, policy: "browser_only" });
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("rten");
  expect(watch.requests.filter((r) => r.includes("/api/v1/jobs"))).toEqual([]);
  const here = await pixels(page, await shown(page));
  await page.getByTestId("policy").selectOption("prefer_server");
  await page.getByTestId("generate").click();
  await expect(page.getByTestId("permalink")).toBeVisible({ timeout: 120_000 });
  await picture(page);
  const there = await pixels(page, await shown(page));
  const worst = Math.max(...there.rgb.map((value, i) => Math.abs(value - here.rgb[i])));
  expect(worst).toBeLessThanOrEqual(tolerance());
});

test("cancel stops a job of the server within a step", async ({ page, hub }) => {
  await open(page, "/");
  const answer = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/api/v1/jobs"));
  await ask(page, { ...cat, steps: 50, policy: "prefer_server" });
  const created = await answer;
  await page.getByTestId("cancel").click();
  const { id } = (await created.json()) as { id: string };
  await expect(page.locator("section.result")).toHaveAttribute("data-state", "cancelled");
  const view = async () => (await (await fetch(`${hub.url}/api/v1/jobs/${id}`)).json()) as { status: string; progress: { step: number } };
  await expect.poll(async () => (await view()).status).toBe("cancelled");
  const first = (await view()).progress.step;
  await page.waitForTimeout(1_000);
  expect((await view()).progress.step - first).toBeLessThanOrEqual(1);
  expect(first).toBeLessThan(50);
});

test("a request that cannot be run is explained beside the form", async ({ page, watch }) => {
  await open(page, "/");
  await page.getByTestId("prompt").fill("   ");
  await page.getByTestId("generate").click();
  await expect(page.getByTestId("error")).toContainText("prompt is empty");
  await page.getByTestId("prompt").fill("x".repeat(1_001));
  await page.getByTestId("generate").click();
  await expect(page.getByTestId("error")).toContainText("1001 characters");
  expect(watch.requests.filter((r) => r.includes("/api/v1/jobs"))).toEqual([]);
});

test("the page can be driven by keyboard alone", async ({ page }) => {
  await open(page, "/?policy=prefer_server");
  const reach = async (testId: string) => {
    for (let presses = 0; presses < 40; presses++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => document.activeElement?.getAttribute("data-testid"));
      if (focused === testId) return;
    }
    throw new Error(`Tab never reached ${testId}`);
  };
  await reach("prompt");
  await page.keyboard.type("green heart, 3d style");
  await page.keyboard.press("Control+Enter");
  await picture(page);
  await reach("permalink");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/i\//);
});

test("two seeds make two pictures", async ({ page }) => {
  await open(page, "/");
  const seen: number[][] = [];
  for (const seed of [1, 2]) {
    await ask(page, { ...cat, seed, policy: "prefer_server" });
    await expect(page.locator("section.result")).toHaveAttribute("data-state", "active");
    await picture(page);
    seen.push((await pixels(page, await shown(page))).rgb);
  }
  expect(seen[0]).not.toEqual(seen[1]);
});
