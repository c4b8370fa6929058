import { withoutWebGpu } from "../support/chromium.ts";
import { save } from "../support/pictures.ts";
import { expect, open, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

test("a picture is its owner's to unlist and delete", async ({ page, hub, browser, watch }) => {
  const link = await save(page, "blue star, flat style", 12, true);
  const listed = async (path: string) => {
    await open(page, path);
    return page.locator(`a[href="${link}"]`).count();
  };

  await test.step("unlisted: in one's own list only", async () => {
    expect(await listed("/gallery")).toBe(0);
    expect(await listed("/gallery?mine=true")).toBe(1);
    await open(page, link);
    await expect(page.locator('meta[name="robots"]')).toHaveAttribute("content", "noindex");
    await page.getByTestId("publish").click();
    await expect(page.getByTestId("owner-note")).toContainText("It is in the gallery");
    expect(await listed("/gallery")).toBe(1);
  });

  await test.step("the file has a name", async () => {
    await open(page, link);
    const download = page.waitForEvent("download");
    await page.getByTestId("download").click();
    const file = await download;
    expect(file.suggestedFilename()).toBe("blue-star-flat-style-12.png");
    // To the page, a request that becomes a download is one that was given up.
    const saved = /^failed: GET \S+filename%3D%22blue-star-flat-style-12\.png\S+ net::ERR_ABORTED$/;
    watch.complaints.splice(0, watch.complaints.length, ...watch.complaints.filter((c) => !saved.test(c)));
  });

  await test.step("somebody else sees it and cannot change it", async () => {
    const visitor = await browser.newContext({ baseURL: hub.url });
    const other = await visitor.newPage();
    await open(other, link);
    await expect(other.getByTestId("picture")).toBeVisible();
    await expect(other.getByTestId("delete")).toHaveCount(0);
    const refused = await visitor.request.delete(`/api/v1/images/${link.slice(3)}`);
    expect(refused.status()).toBeGreaterThanOrEqual(400);
    expect((await visitor.request.get(link)).status()).toBe(200);
    await visitor.close();
  });

  await test.step("the owner deletes it", async () => {
    await open(page, link);
    await page.getByTestId("delete").click();
    await page.getByTestId("delete-confirm").click();
    await expect(page).toHaveURL(/\/gallery\?mine=true$/);
    await expect(page.locator(`a[href="${link}"]`)).toHaveCount(0);
    expect((await page.request.get(link)).status()).toBe(404);
    expect(await listed("/gallery")).toBe(0);
  });
});

test("a filter that nothing passes says so", async ({ page }) => {
  await open(page, "/gallery?model=no%2Fsuch");
  await expect(page.getByText("No picture passes these filters")).toBeVisible();
  await expect(page.getByTestId("filter-model")).toHaveValue("no/such");
});
