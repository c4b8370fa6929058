import { type Page, test as base, expect } from "@playwright/test";
import { Hub } from "./hub.ts";

/** What the browser complained about, and what it asked the network for. */
export interface Watch {
  complaints: string[];
  requests: string[];
}

interface Fixtures {
  watch: Watch;
}

interface WorkerFixtures {
  hub: Hub;
}

/**
 * Every test gets a page on a running hub and fails when the console shows an error or a request fails.
 * A test that provokes a failure empties `watch.complaints` after it has looked at them.
 */
export const test = base.extend<Fixtures, WorkerFixtures>({
  hub: [
    async ({}, use) => {
      const hub = await Hub.start();
      await use(hub);
      await hub.stop();
    },
    { scope: "worker", timeout: 90_000 },
  ],
  baseURL: async ({ hub }, use) => use(hub.url),
  watch: [
    async ({ page }, use) => {
      const watch: Watch = { complaints: [], requests: [] };
      page.on("console", (message) => {
        if (message.type() === "error") watch.complaints.push(`console: ${message.text()}`);
      });
      page.on("pageerror", (error) => watch.complaints.push(`page error: ${error.message}`));
      page.on("request", (request) => watch.requests.push(`${request.method()} ${request.url()}`));
      page.on("requestfailed", (request) => {
        const why = request.failure()?.errorText ?? "";
        // An EventSource that the page closes after the last event ends this way.
        // So do the icon, thumbnails and the worker's module where a page is left before they are there.
        const left = /\/(events|favicon\.svg|thumbnails\/[0-9a-f]+\.webp|(?:render|cpu)-worker-[0-9a-f]+\.wasm)$/;
        const closed = why === "net::ERR_ABORTED" && left.test(request.url());
        if (!closed) watch.complaints.push(`failed: ${request.method()} ${request.url()} ${why}`);
      });
      page.on("response", (response) => {
        if (response.status() >= 400) watch.complaints.push(`${response.status()}: ${response.url()}`);
      });
      await use(watch);
      expect(watch.complaints).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };

/** What a test asks the form for. */
export interface Ask {
  prompt: string;
  seed: number;
  steps: number;
  policy?: "auto" | "browser_only" | "prefer_server";
}

/** Opens `path` and waits until the page is hydrated. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await expect(page.locator("body")).toHaveAttribute("data-hydrated", "true", { timeout: 60_000 });
}

/** Fills the form in and presses Generate. */
export async function ask(page: Page, { prompt, seed, steps, policy }: Ask): Promise<void> {
  await page.getByTestId("prompt").fill(prompt);
  await page.getByTestId("seed").fill(String(seed));
  await page.getByTestId("steps").fill(String(steps));
  if (policy) await page.getByTestId("policy").selectOption(policy);
  await page.getByTestId("generate").click();
}

/**
 * Presses Cancel as soon as the status says so, in the page itself: all steps of a tiny model may be shorter than the way there
 * from here. Gives the milliseconds until the run had ended, and how.
 */
export const cancelWhen = (page: Page, status: RegExp): Promise<{ ms: number; state: string }> =>
  page.evaluate((source) => {
    const find = (selector: string) => {
      const found = document.querySelector<HTMLElement>(selector);
      if (!found) throw new Error(`the page has no ${selector}`);
      return found;
    };
    const result = find("section.result");
    const said = find("[data-testid=status]");
    return new Promise<{ ms: number; state: string }>((done) => {
      let asked = 0;
      const look = () => {
        const state = result.dataset.state ?? "";
        if (asked === 0 && new RegExp(source).test(said.textContent ?? "")) {
          asked = performance.now();
          find("[data-testid=cancel]").click();
        } else if (state !== "active" && (asked > 0 || state === "done")) {
          observer.disconnect();
          done({ ms: performance.now() - asked, state });
        }
      };
      const observer = new MutationObserver(look);
      observer.observe(result, { subtree: true, childList: true, characterData: true, attributes: true });
      look();
    });
  }, status.source);

/** Waits for the run's end and demands a picture. */
export async function picture(page: Page): Promise<void> {
  const result = page.locator("section.result");
  await expect(result).toHaveAttribute("data-state", /done|failed|cancelled/, { timeout: 7 * 60_000 });
  const error = await page.getByTestId("error").allInnerTexts();
  expect(error, "the page shows an error").toEqual([]);
  await expect(page.getByTestId("picture")).toBeVisible();
}

/** RGB values of a picture, decoded by the browser. */
export async function pixels(page: Page, url: string): Promise<{ width: number; height: number; rgb: number[] }> {
  return page.evaluate(async (address) => {
    const image = new Image();
    image.crossOrigin = "anonymous";
    image.src = address;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no 2d context");
    context.drawImage(image, 0, 0);
    const { width, height, data } = context.getImageData(0, 0, canvas.width, canvas.height);
    return { width, height, rgb: [...data].filter((_, i) => i % 4 !== 3) };
  }, url);
}

/** Address of the picture that the page shows. */
export async function shown(page: Page): Promise<string> {
  const src = await page.getByTestId("picture").getAttribute("src");
  if (!src) throw new Error("the picture has no address");
  return src;
}
