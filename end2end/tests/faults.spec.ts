import { expect, test } from "@playwright/test";
import { tolerance } from "../support/built.ts";
import { withWebGpu } from "../support/chromium.ts";
import { ask, cancelWhen, open, picture, pixels, shown } from "../support/test.ts";
import { make, request, status, studio, TinyHub, where, worst } from "../support/tinyhub.ts";
import { breakWorker, seen, setFaults } from "../support/worker.ts";

test.use({ launchOptions: withWebGpu });

let tiny: TinyHub;
test.beforeAll(async () => {
  tiny = await TinyHub.start();
});
test.afterAll(() => tiny.stop());

test("a device that is destroyed at any step is replaced, and no step is done twice", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await breakWorker(page);
  await open(page, "/?accept-software=1");
  const undisturbed = await make(page);
  expect((await seen(page)).steps).toEqual([0, 1, 2, 3, 4]);
  for (let step = 0; step <= request.steps; step++) {
    await setFaults(page, { destroyAt: [step] });
    const rgb = await make(page);
    const { steps, devices } = await seen(page);
    console.log(`device.destroy() after step ${step}: steps told ${JSON.stringify(steps)}, ${devices} new device`);
    // The state after the last finished step is told twice: by the first device and as the start of the second.
    const told = [0, 1, 2, 3, 4];
    expect(steps).toEqual([...told.slice(0, step + 1), step, ...told.slice(step + 1)]);
    expect(devices).toBe(1);
    expect(worst(rgb, undisturbed)).toBe(0);
    await expect(where(page)).toContainText("in this browser on WebGPU");
    await expect(where(page)).toContainText("The graphics device was lost");
    if (step > 0) await expect(where(page)).toContainText(`after step ${step} of ${request.steps}`);
  }
  await context.close();
});

test("a device that is lost again hands the rest to the server", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await breakWorker(page);
  await open(page, "/?accept-software=1");
  const undisturbed = await make(page);
  await setFaults(page, { destroyAt: [1, 3] });
  const job = page.waitForRequest((r) => r.method() === "POST" && r.url().endsWith("/api/v1/jobs"));
  await ask(page, request);
  const body = (await job).postDataJSON();
  expect(body.resume).toMatchObject({ step: 3, shape: [4, 8, 8] });
  await picture(page);
  await expect(where(page)).toContainText("on the server");
  await expect(where(page)).toContainText("the graphics device was lost after step 3 of 4, so the server made the last step");
  const difference = worst((await pixels(page, await shown(page))).rgb, undisturbed);
  console.log(`handed over after step 3 of 4 (${body.resume.latents.length} characters of latents): ${difference} of 255`);
  expect(difference).toBeLessThanOrEqual(tolerance());
  await context.close();
});

test("memory that runs out is spared once, then the server takes over", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await breakWorker(page);
  await open(page, "/?accept-software=1");
  const undisturbed = await make(page);
  for (const oom of ["load", "step", "decode"] as const) {
    for (const oomTimes of [1, 2]) {
      // A fresh worker: what is loaded by now holds one graph at a time already.
      await open(page, "/?accept-software=1");
      await page.getByTestId("steps").fill("1");
      await make(page, { steps: 1 });
      await setFaults(page, { oom, oomTimes, destroyAt: oom === "load" ? [1] : [] });
      const rgb = await make(page);
      const difference = worst(rgb, undisturbed);
      const told = await where(page).innerText();
      console.log(`out of memory at ${oom}, ${oomTimes}×: ${difference} of 255; ${told}`);
      expect(difference).toBeLessThanOrEqual(tolerance());
      if (oomTimes === 1) expect(told).toContain("with one part of the model loaded at a time");
      else {
        expect(told).toContain("on the server");
        expect(told).not.toContain("made here");
      }
    }
  }
  await context.close();
});

test("a worker that is terminated is replaced, and the steps done stay done", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await page.addInitScript(() => {
    const workers: Worker[] = [];
    Object.assign(window, { workers });
    window.Worker = class extends Worker {
      constructor(url: string | URL, options?: WorkerOptions) {
        super(url, options);
        workers.push(this);
      }
    };
  });
  await open(page, "/?accept-software=1");
  await ask(page, { ...request, steps: 50 });
  await status(page, /^Step (?!0)\d+ of 50/);
  await page.evaluate(() => (window as unknown as { workers: Worker[] }).workers.at(-1)?.terminate());
  await picture(page);
  await expect(where(page)).toContainText(/The render worker no longer answers after step \d+ of 50; the rest was made here on a fresh start\./);
  expect(await page.evaluate(() => (window as unknown as { workers: Worker[] }).workers.length)).toBe(2);
  await context.close();
});

test("cancel leaves nothing running before and while denoising", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await studio(context);
  for (const [phase, status] of [
    ["looking at the adapter", /^Looking/],
    ["downloading", /^Downloading/],
    ["preparing", /^Preparing/],
    ["denoising", /^Step [1-9]/],
  ] as const) {
    await ask(page, { ...request, steps: 50 });
    const { ms, state } = await cancelWhen(page, status);
    console.log(`cancelled while ${phase}: idle after ${ms.toFixed(0)} ms`);
    expect(state, phase).toBe("cancelled");
  }
  await make(page);
  await context.close();
});

test("a browser that gives no adapter, or blocks it, is told and the server makes the picture", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await page.route(/\/render-worker-[0-9a-f]+\.js/, async (route) => {
    const response = await route.fetch();
    const blocked = "GPU.prototype.requestAdapter = async () => null;\n";
    await route.fulfill({ response, body: blocked + (await response.text()) });
  });
  await open(page, "/?accept-software=1");
  await make(page);
  await expect(where(page)).toContainText("on the server");
  await expect(where(page)).toContainText("this browser offers no WebGPU adapter");
  await context.close();
});
