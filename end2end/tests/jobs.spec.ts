import { type APIRequestContext, type Page, request } from "@playwright/test";
import { size } from "../support/built.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import type { Hub } from "../support/hub.ts";
import { ask, expect, open, picture, shown, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

const wanted = { prompt: "red apple, flat style", seed: 3, steps: 8, policy: "prefer_server" } as const;
const waiting = /(Next in line|pictures? ahead)/;

/** Jobs of other visitors, which the server's one worker makes first. */
class Crowd {
  private jobs: { visitor: APIRequestContext; url: string }[] = [];
  constructor(private readonly hub: Hub) {}

  async join(jobs: number, steps: number): Promise<void> {
    for (let seed = 0; seed < jobs; seed++) {
      const visitor = await request.newContext({ baseURL: this.hub.url });
      const data = { model: "demo-hub/glyph", prompt: "a crowd", seed, num_inference_steps: steps };
      const answer = await visitor.post("/api/v1/jobs", { data });
      expect(answer.status(), await answer.text()).toBe(202);
      const { id } = (await answer.json()) as { id: string };
      this.jobs.push({ visitor, url: `/api/v1/jobs/${id}` });
    }
  }

  async finish(): Promise<void> {
    for (const { visitor, url } of this.jobs.splice(0)) {
      const view = async () => (await (await visitor.get(url)).json()) as { status: string };
      await expect.poll(async () => (await view()).status, { timeout: 60_000 }).toBe("completed");
      await visitor.dispose();
    }
  }

  async leave(): Promise<void> {
    for (const { visitor, url } of this.jobs.splice(0)) {
      await visitor.delete(url);
      await visitor.dispose();
    }
  }
}

const result = (page: Page) => page.locator("section.result");
const status = (page: Page) => page.getByTestId("status");

test("place in line and time left are shown while others go first", async ({ page, hub }) => {
  const crowd = new Crowd(hub);
  await crowd.join(1, 8);
  await crowd.finish();
  await open(page, "/");
  await crowd.join(6, 50);
  await ask(page, wanted);
  await expect(status(page)).toContainText(/[1-6] pictures? ahead, done in about .*\d/);
  await expect(page.getByTestId("progress")).not.toHaveAttribute("value");
  await crowd.leave();
  await picture(page);
});

test("a reload, another tab and coming back find the running job", async ({ page, hub, watch, context }) => {
  const crowd = new Crowd(hub);
  await open(page, "/");
  await crowd.join(10, 50);
  await ask(page, wanted);
  await expect(status(page)).toContainText(waiting);

  await page.reload();
  await expect(result(page)).toHaveAttribute("data-state", "active");
  await expect(status(page)).toContainText(waiting);
  await expect(page.getByTestId("where")).toContainText("you chose");

  await open(page, "/gallery");
  await open(page, "/");
  await expect(status(page)).toContainText(waiting);

  const other = await context.newPage();
  await open(other, "/");
  await expect(status(other)).toContainText(waiting);

  await crowd.leave();
  await picture(page);
  await picture(other);
  expect(await shown(other)).toBe(await shown(page));
  const posts = watch.requests.filter((r) => r.startsWith("POST ") && r.endsWith("/api/v1/jobs"));
  expect(posts.length).toBe(1);

  // A job that has ended is not looked for again.
  expect(await other.evaluate(() => localStorage.getItem("demo-hub-job"))).toBeNull();
});

test("a job left alone is made all the same", async ({ page, hub }) => {
  const crowd = new Crowd(hub);
  await open(page, "/");
  await crowd.join(2, 20);
  const answer = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/api/v1/jobs"));
  await ask(page, wanted);
  const { id } = (await (await answer).json()) as { id: string };
  await expect(status(page)).toContainText(waiting);
  await page.goto("about:blank");
  const view = async () => (await (await page.request.get(`/api/v1/jobs/${id}`)).json()) as { status: string; image?: { url: string } };
  await expect.poll(async () => (await view()).status, { timeout: 60_000 }).toBe("completed");
  const { image } = await view();
  expect((await page.request.get(image?.url ?? "")).headers()["content-type"]).toBe("image/png");
});

test("cancel in one tab ends the job in the other", async ({ page, hub, context }) => {
  const crowd = new Crowd(hub);
  await open(page, "/");
  await crowd.join(10, 50);
  await ask(page, wanted);
  await expect(status(page)).toContainText(waiting);
  const other = await context.newPage();
  await open(other, "/");
  await expect(status(other)).toContainText(waiting);
  await other.getByTestId("cancel").click();
  await expect(result(other)).toHaveAttribute("data-state", "cancelled");
  await expect(result(page)).toHaveAttribute("data-state", "cancelled");
  await crowd.leave();
});

test("the picture is shown while it is made", async ({ page }) => {
  await open(page, "/");
  await page.evaluate(() => {
    const seen = new Set<string>();
    (window as unknown as { seen: Set<string> }).seen = seen;
    new MutationObserver(() => {
      const image = document.querySelector<HTMLImageElement>('[data-testid="preview"]');
      if (image) seen.add(image.src);
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await ask(page, { ...wanted, steps: 50 });
  await picture(page);
  const previews = await page.evaluate(async () => {
    const sizes: number[] = [];
    for (const src of (window as unknown as { seen: Set<string> }).seen) {
      const image = new Image();
      image.src = src;
      await image.decode();
      sizes.push(image.naturalWidth);
    }
    return sizes;
  });
  expect(previews.length).toBeGreaterThanOrEqual(1);
  expect(previews.every((width) => width === size().width)).toBe(true);
});
