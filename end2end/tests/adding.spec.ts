import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessible } from "../support/axe.ts";
import { built } from "../support/built.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { Hub } from "../support/hub.ts";
import { look } from "../support/look.ts";
import { ModelHub } from "../support/modelhub.ts";
import { expect, open, test } from "../support/test.ts";
import { writeTiny } from "../support/tiny.ts";

const TOKEN = "correct horse battery staple";

test.use({ launchOptions: withoutWebGpu });

test("the operator signs in, looks at a model, watches it come and opens its page", async ({ page }, info) => {
  const models = mkdtempSync(join(tmpdir(), "demo-hub-adding-"));
  writeTiny(models, "alpha", 1);
  const modelHub = await ModelHub.start(join(built.families(), "authors", "sd15"), 400);
  const options = ["--models-dir", models, "--models-refresh-seconds", "1", "--hub-url", modelHub.url];
  const hub = await Hub.start(["--admin-token", TOKEN, ...options]);
  try {
    await open(page, `${hub.url}/models/add?id=maker%2Ftiny`);
    await look(page, info, "signed-out");
    // By keyboard: the token, the choice and the button.
    await page.getByLabel("Operator's token").focus();
    await page.keyboard.type(`${TOKEN.slice(1)}`);
    await page.keyboard.press("Enter");
    await expect(page.getByTestId("adding-problem")).toContainText("not the token");
    await page.getByLabel("Operator's token").focus();
    await page.keyboard.type(TOKEN);
    await page.keyboard.press("Enter");
    const found = page.getByTestId("look-result");
    await expect(found).toContainText("UNet2DConditionModel", { timeout: 60_000 });
    await expect(found).toContainText("Any use, commercial too.");
    await expect(found).toContainText("This hub can run it.");
    await look(page, info, "found");
    await page.getByLabel("As their author has them").focus();
    await page.keyboard.press("ArrowDown");
    await expect(page.getByLabel("16 bits")).toBeChecked();
    await page.keyboard.press("ArrowUp");
    while (!(await page.getByTestId("add").evaluate((button) => button === document.activeElement))) await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");

    const addition = page.getByTestId("addition");
    await expect(addition).toHaveAttribute("data-status", "running", { timeout: 60_000 });
    await expect(page.getByTestId("fetched")).toContainText(/ of .*left/, { timeout: 60_000 });
    await accessible(page);
    // Nothing of this is lost when the page is: another visit shows it, and what it says changes by itself.
    await page.reload();
    await expect(addition).toHaveAttribute("data-status", "done", { timeout: 120_000 });
    await look(page, info, "done");
    await expect(async () => {
      const answer = await page.request.get(`${hub.url}/api/v1/models`);
      expect(await answer.json()).toHaveLength(2);
    }).toPass({ timeout: 20_000 });
    await addition.getByRole("link", { name: "maker/tiny" }).click();
    await expect(page.getByRole("heading", { level: 1 })).toContainText("tiny");

    await open(page, `${hub.url}/models`);
    await page.getByTestId("add-a-model").click();
    await page.getByTestId("sign-out").click();
    await expect(page.getByTestId("sign-in")).toBeVisible();
  } finally {
    await hub.stop();
    modelHub.stop();
    rmSync(models, { recursive: true, force: true });
  }
});
