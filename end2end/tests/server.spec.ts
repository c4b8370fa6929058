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
  await expect(page.getByTestId("private-note")).toContainText("Only you see this picture");
  await page.getByTestId("save").click();
  await page.getByTestId("permalink").click();
  await expect(page).toHaveURL(/\/i\//);
  await expect(page.getByTestId("picture")).toBeVisible();
});

test("a picture made on the server is its maker's alone until it is saved", async ({ page, hub, browser, watch }) => {
  const created = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/api/v1/jobs"));
  await open(page, "/");
  await ask(page, { ...cat, seed: 31, policy: "prefer_server" });
  const { id } = (await (await created).json()) as { id: string };
  await picture(page);
  const visitor = await browser.newContext({ baseURL: hub.url });
  const sees = async () => [
    (await page.request.get(`/api/v1/images/${id}`)).status(),
    (await visitor.request.get(`/api/v1/images/${id}`)).status(),
    (await visitor.request.get(`/i/${id}`)).status(),
  ];
  const listed = async () => JSON.stringify(await (await visitor.request.get("/api/v1/images")).json()).includes(id);
  expect(await sees()).toEqual([200, 404, 404]);
  expect(await listed()).toBe(false);
  await test.step("its page says so, and its own list", async () => {
    await open(page, `/i/${id}`);
    await expect(page.getByTestId("owner-note")).toContainText("Only you see this picture. It is deleted after");
    await open(page, "/gallery?mine=true");
    await expect(page.locator(`a[href="/i/${id}"]`)).toContainText("Only you");
  });
  await test.step("saved unlisted, then put into the gallery", async () => {
    await open(page, `/i/${id}`);
    await page.getByTestId("keep").click();
    await expect(page.getByTestId("owner-note")).toContainText("only who has the link");
    await expect(page.getByTestId("owner-note")).not.toContainText("deleted");
    expect(await sees()).toEqual([200, 200, 200]);
    expect(await listed()).toBe(false);
    await page.getByTestId("publish").click();
    await expect(page.getByTestId("owner-note")).toContainText("It is in the gallery");
    expect(await listed()).toBe(true);
  });
  await test.step("somebody else reports it", async () => {
    const other = await visitor.newPage();
    await open(other, `/i/${id}`);
    await other.getByText("Report this picture").click();
    await other.getByTestId("report-reason").selectOption("spam");
    await other.getByTestId("report-comment").fill("The same cat again.");
    await other.getByTestId("report-send").click();
    await expect(other.getByTestId("report-status")).toContainText("Thank you");
    await expect(other.getByTestId("report-send")).toBeDisabled();
    await expect(page.getByTestId("report")).toHaveCount(0);
  });
  await visitor.close();
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
  await expect(page.getByTestId("private-note")).toBeVisible({ timeout: 120_000 });
  await picture(page);
  const there = await pixels(page, await shown(page));
  const worst = Math.max(...there.rgb.map((value, i) => Math.abs(value - here.rgb[i])));
  expect(worst).toBeLessThanOrEqual(tolerance());
});

test("cancel stops a job of the server within a step", async ({ page }) => {
  await open(page, "/");
  const answer = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/api/v1/jobs"));
  await ask(page, { ...cat, steps: 50, policy: "prefer_server" });
  const created = await answer;
  await page.getByTestId("cancel").click();
  const { id } = (await created.json()) as { id: string };
  await expect(page.locator("section.result")).toHaveAttribute("data-state", "cancelled");
  const view = async () => (await (await page.request.get(`/api/v1/jobs/${id}`)).json()) as { status: string; progress: { step: number } };
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
  // Fields are called as the page calls them, and looked for where they are.
  await page.getByTestId("prompt").fill("apple");
  for (const [field, value, said] of [
    ["steps", "0", "The number of steps is 0; this model accepts 1 to 50."],
    ["guidance", "0", "The guidance is 0; this model accepts 1 to 15."],
    ["steps", "", "Correct it under “Steps”."],
  ] as const) {
    const box = page.getByTestId(field);
    const before = await box.inputValue();
    await box.fill(value);
    await page.getByTestId("generate").click();
    await expect(page.getByTestId("error")).toContainText(said);
    await box.fill(before);
  }
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
  await reach("save");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("permalink")).toBeVisible();
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
