import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { open } from "../support/test.ts";
import { damage, make, storedModels, studio, TinyHub } from "../support/tinyhub.ts";

test.use({ launchOptions: withWebGpu });

let tiny: TinyHub;
test.beforeAll(async () => {
  tiny = await TinyHub.start();
});
test.afterAll(() => tiny.stop());

test("the storage page lists, checks and deletes what this browser keeps", async ({ browser }, info) => {
  const context = await tiny.visitor(browser);
  const page = await studio(context);
  await page.getByRole("link", { name: "Models in this browser" }).click();
  await expect(page.getByTestId("storage")).toContainText("No model is stored here.");
  await look(page, info, "empty");
  for (const model of ["alpha", "beta"]) {
    await open(page, `/?accept-software=1&model=demo-hub%2F${model}`);
    await make(page);
  }
  await open(page, "/storage");
  const models = page.getByTestId("stored-model");
  await expect(models).toHaveCount(2);
  // The most recently used one first.
  await expect(models.first()).toContainText("Beta");
  await expect(models.first()).toContainText(/8\.\d MB · used \d{4}-/);

  await look(page, info, "storage");

  await test.step("a damaged byte is found, by keyboard, and repaired by the next picture", async () => {
    await damage(page, tiny.size("text_encoder.onnx"), 5_000_000);
    const found: string[] = [];
    for (const name of ["Verify Alpha", "Verify Beta"]) {
      await page.getByRole("button", { name }).focus();
      await page.keyboard.press("Enter");
      const check = models.filter({ has: page.getByRole("button", { name }) }).getByTestId("check");
      await expect(check).toHaveText(/^(Every byte|1 part)/);
      found.push(await check.innerText());
    }
    await look(page, info, "checked");
    // Both packages have a file of that size; one of them was damaged.
    expect(found.sort()).toEqual(["1 part is damaged or missing; it is fetched again with the next picture.", "Every byte is right."]);
    for (const model of ["alpha", "beta"]) {
      await open(page, `/?accept-software=1&model=demo-hub%2F${model}`);
      await make(page);
    }
    await open(page, "/storage");
    for (const name of ["Verify Alpha", "Verify Beta"]) {
      await page.getByRole("button", { name }).click();
      await expect(models.filter({ has: page.getByRole("button", { name }) }).getByTestId("check")).toHaveText("Every byte is right.");
    }
  });

  await test.step("deleting", async () => {
    await page.getByRole("button", { name: "Delete Alpha" }).click();
    await expect(models).toHaveCount(1);
    expect(await storedModels(page)).toEqual(["Beta"]);
    await page.getByRole("button", { name: "Delete Beta" }).click();
    await expect(page.getByTestId("storage")).toContainText("No model is stored here.");
  });
  await context.close();
});
