import { withoutWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { drop, fill, save } from "../support/pictures.ts";
import { pngWith } from "../support/png.ts";
import { expect, open, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

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
