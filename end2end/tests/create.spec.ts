import { expect, type Page, test } from "@playwright/test";
import { withoutWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { open, picture, pixels, shown } from "../support/test.ts";
import { TinyHub } from "../support/tinyhub.ts";

test.use({ launchOptions: withoutWebGpu });

const TABLE = "text_encoder.onnx";

let tiny: TinyHub;
test.beforeAll(async () => {
  tiny = await TinyHub.start();
});
test.afterAll(() => tiny.stop());

const shots = (page: Page) => page.getByTestId("batch").locator("li");
const states = (page: Page) => shots(page).evaluateAll((all) => all.map((shot) => (shot as HTMLElement).dataset.state));
const waiting = (page: Page) => page.getByTestId("queue-item").locator(".queue-title").allInnerTexts();

/** Fills the form in and presses the button, which says `says`. */
async function generate(page: Page, prompt: string, pictures: number, says: string): Promise<void> {
  await page.getByTestId("prompt").fill(prompt);
  await page.getByTestId("pictures").fill(String(pictures));
  await expect(page.getByTestId("generate")).toHaveText(says);
  await page.getByTestId("generate").click();
}

test("one request makes several pictures, each as if it had been asked for alone", async ({ browser }, info) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await open(page, "/?policy=browser_only&seed=5&steps=4");
  await page.getByTestId("prompt").fill("a {red|blue} apple");
  await expect(page.getByTestId("expanded").locator("li")).toHaveText(["a red apple", "a blue apple"]);
  await generate(page, "a {red|blue} apple", 2, "Generate");
  await expect.poll(() => states(page), { timeout: 120_000 }).toEqual(["done", "done", "done", "done"]);
  await expect(page.getByTestId("generate")).toHaveText("Generate");

  const fourth = page.getByRole("button", { name: "Picture 4, seed 6: a blue apple" });
  await fourth.focus();
  await page.keyboard.press("Enter");
  await expect(fourth).toHaveAttribute("aria-pressed", "true");
  await expect(page.getByTestId("where")).toContainText("on the processor");
  const urls = await shots(page).locator("img").evaluateAll((all) => all.map((image) => (image as HTMLImageElement).src));
  expect(new Set(urls).size).toBe(4);
  expect(await shown(page)).toBe(urls[3]);
  const inBatch = (await pixels(page, urls[3])).rgb;
  await look(page, info, "batch");

  await page.getByTestId("seed").fill("6");
  await generate(page, "a blue apple", 1, "Generate");
  await picture(page);
  await expect(page.getByTestId("batch")).toHaveCount(0);
  expect((await pixels(page, await shown(page))).rgb).toEqual(inBatch);

  // What was made before is there to be looked at.
  await expect(page.getByTestId("frame")).toHaveCount(5);
  await page.getByTestId("frame").nth(1).click();
  await expect(shots(page)).toHaveCount(4);
  await context.close();
});

test("more than sixteen pictures, or none, are refused in words", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await open(page, "/?policy=browser_only");
  for (const [prompt, pictures, said] of [
    ["a {red|blue} apple", 9, "18 pictures; at most 16"],
    ["apple", 0, "No picture is asked for"],
    [`${"{a|b}".repeat(70)}`, 1, "at most 16"],
  ] as const) {
    await generate(page, prompt, pictures, "Generate");
    await expect(page.getByTestId("error")).toContainText(said);
  }
  await expect(page.locator("section.result")).toHaveAttribute("data-state", "idle");
  await context.close();
});

test("the form stays free: what waits is moved, left out and made in its order", async ({ browser }, info) => {
  const context = await tiny.visitor(browser);
  // The first picture waits for its weights, so that what is tested does not race with it.
  tiny.proxy.faults.set(TABLE, { hold: 1_000_000 });
  const page = await context.newPage();
  await open(page, "/?policy=browser_only&seed=1&steps=2");
  await generate(page, "first", 3, "Generate");
  await expect.poll(() => tiny.proxy.of(TABLE).length).toBe(1);
  for (const prompt of ["second", "third", "fourth"]) await generate(page, prompt, 1, "Add to queue");
  expect(await waiting(page)).toEqual(["second", "third", "fourth"]);
  await look(page, info, "queue");

  await page.getByRole("button", { name: "Make sooner: fourth" }).press("Enter");
  expect(await waiting(page)).toEqual(["second", "fourth", "third"]);
  await page.getByRole("button", { name: "Leave out: second" }).press("Enter");
  expect(await waiting(page)).toEqual(["fourth", "third"]);
  await expect(page.getByRole("button", { name: "Make sooner: fourth" })).toBeDisabled();

  // A picture that waits is left out by itself; the one that is at work is cancelled by itself.
  await page.getByTestId("cancel-shot-2").press("Enter");
  expect(await states(page)).toEqual(["active", "cancelled", "idle"]);
  tiny.proxy.faults.clear();
  await page.getByTestId("cancel-shot-1").press("Enter");
  await expect(page.getByTestId("frame")).toHaveCount(3, { timeout: 120_000 });
  const made = await page.getByTestId("frame").evaluateAll((all) => all.map((frame) => frame.getAttribute("aria-label")));
  expect(made).toEqual(["third, seed 1", "fourth, seed 1", "first, seed 3"]);
  await expect(page.getByTestId("queue")).toHaveCount(0);
  await context.close();
});

test("Cancel ends the request at work with all its pictures, and the next one follows", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  tiny.proxy.faults.set(TABLE, { hold: 1_000_000 });
  const page = await context.newPage();
  await open(page, "/?policy=browser_only&seed=1&steps=2");
  await generate(page, "first", 3, "Generate");
  await expect.poll(() => tiny.proxy.of(TABLE).length).toBe(1);
  await generate(page, "second", 1, "Add to queue");
  tiny.proxy.faults.clear();
  await page.getByTestId("cancel").click();
  await picture(page);
  await expect(page.getByTestId("picture")).toHaveAttribute("alt", "Generated picture of: second");
  await expect(page.getByTestId("cancel")).toBeDisabled();
  await context.close();
});

test("keys act outside of fields, and are listed behind a question mark", async ({ browser }, info) => {
  const context = await tiny.visitor(browser);
  const page = await context.newPage();
  await open(page, "/?policy=browser_only&seed=1&steps=2&pictures=2");
  const list = page.getByTestId("keys");
  await page.getByTestId("prompt").focus();
  await page.keyboard.type("what?[/]");
  await expect(page.getByTestId("prompt")).toHaveValue("what?[/]");
  await expect(list).not.toHaveAttribute("open");
  await page.keyboard.press("Control+Enter");
  await expect.poll(() => states(page), { timeout: 120_000 }).toEqual(["done", "done"]);

  await page.getByTestId("random-seed").focus();
  await page.keyboard.press("?");
  await expect(list).toHaveAttribute("open");
  await expect(list.locator("summary")).toBeFocused();
  await look(page, info, "keys");
  await page.keyboard.press("?");
  await expect(list).not.toHaveAttribute("open");
  const pressed = () => shots(page).locator(".shot-picture").evaluateAll((all) => all.map((shot) => shot.getAttribute("aria-pressed")));
  for (const [key, shown] of [["]", "false,true"], ["]", "false,true"], ["[", "true,false"], ["[", "true,false"]] as const) {
    await page.keyboard.press(key);
    expect((await pressed()).join()).toBe(shown);
  }
  await page.keyboard.press("/");
  await expect(page.getByTestId("prompt")).toBeFocused();
  await expect(page.getByTestId("prompt")).toHaveValue("what?[/]");
  await context.close();
});
