import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { ask, open, picture } from "../support/test.ts";
import { make, request, studio, TinyHub, where } from "../support/tinyhub.ts";

test.use({ launchOptions: withWebGpu });

test("a model that was downloaded works without a network, and its picture is saved later", async ({ browser }, info) => {
  const tiny = await TinyHub.start();
  const context = await browser.newContext({ baseURL: tiny.hub.url, serviceWorkers: "allow" });
  try {
    const first = await studio(context);
    await expect.poll(() => first.evaluate(() => navigator.serviceWorker.controller?.state)).toBe("activated");
    await make(first);
    // The page asked for the worker's files to be kept.
    const kept = () => first.evaluate(async () => (await (await caches.open("demo-hub-pages")).keys()).map((r) => new URL(r.url).pathname));
    await expect.poll(async () => (await kept()).filter((path) => path.startsWith("/render-worker-")).length).toBe(2);
    await first.close();

    await context.setOffline(true);
    const page = await context.newPage();
    await open(page, "/storage");
    await expect(page.getByTestId("stored-model")).toContainText("Alpha");
    await open(page, "/?accept-software=1");
    await ask(page, { ...request, seed: 2 });
    await picture(page);
    await expect(where(page)).toContainText("in this browser on WebGPU");
    await page.getByTestId("save").click();
    await expect(page.getByTestId("save")).toHaveText("Will be saved when you are online again");
    await look(page, info, "waits");
    await page.getByTestId("outbox-note").getByRole("link").click();
    await expect(page.getByTestId("waiting-picture")).toContainText("red apple");
    await look(page, info, "outbox");

    await context.setOffline(false);
    await expect(page.getByTestId("outbox-note")).toContainText("A picture that had waited was saved", { timeout: 60_000 });
    await expect(page.getByTestId("waiting-picture")).toHaveCount(0);
    const { items } = await (await fetch(`${tiny.hub.url}/api/v1/images`)).json();
    expect(items.map((item: { recipe: { request: { seed: number } } }) => item.recipe.request.seed)).toEqual([2]);
    await page.getByTestId("outbox-note").getByRole("link").click();
    await expect(page).toHaveURL(/\/i\//);
    await page.goBack();
    await page.goBack();
    await expect(page.getByTestId("save")).toHaveText("Saved");
  } finally {
    await context.close();
    await tiny.stop();
  }
});

test("a waiting picture that the hub refuses is kept with the reason, until it is discarded", async ({ browser }, info) => {
  const tiny = await TinyHub.start();
  const context = await browser.newContext({ baseURL: tiny.hub.url, serviceWorkers: "block" });
  try {
    const page = await studio(context);
    await make(page);
    await page.route("**/api/v1/uploads", (route) => route.abort("connectionrefused"));
    await page.getByTestId("save").click();
    await expect(page.getByTestId("save")).toHaveText("Will be saved when you are online again");
    const refusal = { type: "about:blank", code: "out_of_range", status: 422, title: "Refused", detail: "the picture is none of this hub" };
    await page.unroute("**/api/v1/uploads");
    await page.route("**/api/v1/uploads", (route) => route.fulfill({ status: 422, contentType: "application/problem+json", body: JSON.stringify(refusal) }));
    await page.getByTestId("outbox-note").getByRole("link").click();
    await page.getByTestId("send-waiting").click();
    const waiting = page.getByTestId("waiting-picture");
    await expect(waiting).toContainText("The hub did not take it: the picture is none of this hub.");
    await look(page, info, "refused");
    await page.unroute("**/api/v1/uploads");
    await open(page, "/storage");
    await expect(waiting).toContainText("The hub did not take it");
    await page.getByRole("button", { name: "Discard red apple" }).press("Enter");
    await expect(waiting).toHaveCount(0);
    await open(page, "/storage");
    await expect(page.getByTestId("storage")).toContainText("Alpha");
    await expect(waiting).toHaveCount(0);
    expect((await (await fetch(`${tiny.hub.url}/api/v1/images`)).json()).items).toEqual([]);
  } finally {
    await context.close();
    await tiny.stop();
  }
});

test("without a network and without the model the page says so", async ({ browser }) => {
  const tiny = await TinyHub.start();
  const context = await browser.newContext({ baseURL: tiny.hub.url });
  try {
    const page = await studio(context);
    // Only the weights are out of reach: the page believes that it is offline and the worker's script is here.
    await page.route("**/models/alpha/*", (route) => route.abort("internetdisconnected"));
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "onLine", { get: () => false }));
    await open(page, "/?accept-software=1");
    await ask(page, request);
    await expect(page.locator("section.result")).toHaveAttribute("data-state", "failed", { timeout: 60_000 });
    await expect(page.getByTestId("error")).toContainText("there is no network, and the model is not stored in this browser", { ignoreCase: true });
  } finally {
    await context.close();
    await tiny.stop();
  }
});
