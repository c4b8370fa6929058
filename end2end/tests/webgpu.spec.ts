import { tolerance } from "../support/built.ts";
import { withWebGpu } from "../support/chromium.ts";
import { ask, cancelWhen, expect, open, picture, pixels, shown, test } from "../support/test.ts";

test.use({ launchOptions: withWebGpu });

const red = { prompt: "red apple, flat style", seed: 1, steps: 3 };

test("a picture is made on WebGPU in the worker, saved by presigned PUT, and outlives the server", async ({ page, hub, watch }) => {
  await open(page, "/?accept-software=1");
  await ask(page, red);
  await picture(page);

  await test.step("nothing was asked of the server's endpoint", async () => {
    expect(watch.requests.filter((r) => r.includes("/api/v1/jobs") || r.includes("/v1/images"))).toEqual([]);
    await expect(page.getByTestId("where")).toContainText("onnx-gpu (WebGPU)");
    await expect(page.getByTestId("where")).toContainText("software WebGPU adapter");
    expect(page.workers().length).toBe(1);
  });
  const here = await pixels(page, await shown(page));

  const link = await test.step("save", async () => {
    await page.getByTestId("save").click();
    await expect(page.getByTestId("permalink")).toBeVisible();
    const puts = watch.requests.filter((r) => r.startsWith("PUT "));
    expect(puts.length).toBe(1);
    expect(puts[0]).toContain(`PUT ${hub.storage}/`);
    expect(puts[0]).toContain("X-Amz-Signature=");
    const href = await page.getByTestId("permalink").getAttribute("href");
    expect(href).toMatch(/^\/i\/[\w-]+$/);
    return href ?? "";
  });

  await test.step("the permanent link shows the same pixels after a restart", async () => {
    await hub.restart();
    await open(page, link);
    const stored = await pixels(page, await shown(page));
    expect(stored).toEqual(here);
    await open(page, "/gallery");
    await expect(page.locator(`a[href="${link}"]`)).toHaveCount(1);
  });

  await test.step("the server makes the same picture of the same seed", async () => {
    await open(page, "/");
    await ask(page, { ...red, policy: "prefer_server" });
    await picture(page);
    await expect(page.getByTestId("where")).toContainText("server");
    const there = await pixels(page, await shown(page));
    expect([there.width, there.height]).toEqual([here.width, here.height]);
    const differences = there.rgb.map((value, i) => Math.abs(value - here.rgb[i]));
    const worst = Math.max(...differences);
    const squares = differences.reduce((sum, d) => sum + d * d, 0);
    const psnr = 10 * Math.log10((255 * 255 * differences.length) / squares);
    console.log(`browser and server: PSNR ${psnr.toFixed(1)} dB, largest difference ${worst} of 255`);
    expect(worst).toBeLessThanOrEqual(tolerance());
  });
});

test("cancel stops within a step in the browser", async ({ page, watch }) => {
  await open(page, "/?accept-software=1");
  await ask(page, { ...red, steps: 50 });
  // Times at which the bar moved to another step.
  await page.getByTestId("progress").evaluate((bar) => {
    const times: number[] = [];
    Object.assign(window, { stepTimes: times });
    new MutationObserver(() => {
      if (bar.getAttribute("max") === "50") times.push(performance.now());
    }).observe(bar, { attributes: true, attributeFilter: ["value"] });
  });
  const stepTimes = () => page.evaluate(() => (window as unknown as { stepTimes: number[] }).stepTimes);
  await expect.poll(async () => (await stepTimes()).length, { timeout: 5 * 60_000 }).toBeGreaterThanOrEqual(4);
  const [worker] = page.workers();
  const asked = await page.evaluate(() => performance.now());
  await page.getByTestId("cancel").click();
  await expect(page.locator("section.result")).toHaveAttribute("data-state", "cancelled", { timeout: 60_000 });
  const took = (await page.evaluate(() => performance.now())) - asked;
  const times = await stepTimes();
  const longest = Math.max(...times.slice(1).map((time, i) => time - times[i]));
  console.log(`cancelled after ${took.toFixed(0)} ms, the longest of ${times.length} steps took ${longest.toFixed(0)} ms`);
  expect(times.length).toBeLessThan(50);
  // One step may have begun; the rest is the click and the look at its effect.
  expect(took).toBeLessThan(longest + 1_000);
  // Ended by its own word: the page gives up a worker that does not confirm.
  expect(page.workers()).toEqual([worker]);
  expect(watch.requests.filter((r) => r.includes("/api/v1/jobs"))).toEqual([]);

  await test.step("a picture that is being decoded is given up when it is decoded", async () => {
    await ask(page, { ...red, steps: 1 });
    const { ms, state } = await cancelWhen(page, /^Finishing/);
    console.log(`cancelled while decoding: idle after ${ms.toFixed(0)} ms`);
    expect(state).toBe("cancelled");
    expect(page.workers()).toEqual([worker]);
  });

  await test.step("the worker takes the next request", async () => {
    await ask(page, { ...red, steps: 1 });
    await picture(page);
  });
});

test("a software adapter does not count as a GPU unless asked for", async ({ page }) => {
  await open(page, "/");
  await ask(page, red);
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("server");
  await expect(page.getByTestId("where")).toContainText("slow software one");
});

test("a failure in the browser hands the request to the server, and the page says so", async ({ page, watch }) => {
  await page.route("**/models/glyph/denoiser.onnx*", (route) => route.abort());
  await open(page, "/?accept-software=1");
  await ask(page, red);
  await picture(page);
  await expect(page.getByTestId("where")).toContainText("on the server");
  await expect(page.getByTestId("where")).toContainText("it failed in this browser");
  expect(watch.requests.filter((r) => r.startsWith("POST ") && r.endsWith("/api/v1/jobs")).length).toBe(1);
  expect(watch.complaints.every((c) => /denoiser\.onnx|ERR_FAILED/.test(c))).toBe(true);
  watch.complaints.length = 0;
});
