import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { make, request, studio, TinyHub } from "../support/tinyhub.ts";

test.use({ launchOptions: withWebGpu });

test("a model that takes no negative prompt says so, and is not sent one", async ({ browser }, info) => {
  const tiny = await TinyHub.start();
  const context = await tiny.visitor(browser);
  try {
    const page = await studio(context, "&model=demo-hub/beta&negative_prompt=leaf");
    const field = page.getByTestId("negative-prompt");
    await expect(field).toBeDisabled();
    await expect(field).toHaveAccessibleDescription("This model takes no negative prompt.");
    await expect(page.getByText("This model takes no negative prompt.")).toBeVisible();
    // The Tab key passes over it.
    await page.getByText("More settings").focus();
    await page.keyboard.press("Tab");
    await expect(page.getByTestId("sampler")).toBeFocused();
    await page.keyboard.press("Tab");
    await expect(page.getByTestId("accept-software")).toBeFocused();
    await look(page, info, "no-negative-prompt");
    await make(page);

    const refused = await fetch(`${tiny.hub.url}/api/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "demo-hub/beta", prompt: request.prompt, negative_prompt: "leaf" }),
    });
    expect(refused.status).toBe(422);
    expect(await refused.json()).toMatchObject({ detail: "this model takes no negative prompt", field: "negative_prompt" });

    // What was typed is still there for a model that takes it, and changes the picture.
    await page.getByTestId("model").selectOption("demo-hub/alpha");
    await expect(field).toBeEnabled();
    await expect(field).toHaveAccessibleDescription("");
    await expect(field).toHaveValue("leaf");
    const negated = await make(page);
    await field.fill("");
    expect(await make(page)).not.toEqual(negated);
  } finally {
    await context.close();
    await tiny.stop();
  }
});
