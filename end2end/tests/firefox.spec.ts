import type { Browser, Page } from "puppeteer-core";
import { size } from "../support/built.ts";
import { firefox } from "../support/firefox.ts";
import { Hub } from "../support/hub.ts";
import { expect, test } from "@playwright/test";

let hub: Hub;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

const part = (name: string) => `[data-testid="${name}"]`;
const text = (name: string) => page.$eval(part(name), (element) => element.textContent ?? "");

async function open(path: string): Promise<void> {
  await page.goto(hub.url + path);
  await page.waitForSelector('body[data-hydrated="true"]', { timeout: 60_000 });
}

test.beforeAll(async () => {
  hub = await Hub.start();
  browser = await firefox();
  page = await browser.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
});
test.afterAll(async () => {
  await browser?.close();
  await hub?.stop();
});

test("Firefox without a GPU has its picture made on the server, keeps it and finds it again", async () => {
  await open("/");
  await page.type(part("prompt"), "red apple, flat style");
  await page.click(part("generate"));
  await page.waitForSelector(part("save"), { timeout: 120_000 });
  await page.click(part("save"));
  await page.waitForSelector(part("permalink"), { timeout: 60_000 });
  expect(await text("where")).toContain("on the server");
  expect(await text("where")).toMatch(/WebGPU/);
  const link = await page.$eval(part("permalink"), (element) => element.getAttribute("href"));
  await open(link ?? "");
  const shown = await page.$eval(part("picture"), (image) => (image as HTMLImageElement).naturalWidth);
  expect(shown).toBe(size().width);
  await open("/gallery");
  expect(await page.$$(`a[href="${link}"]`)).toHaveLength(1);
  expect(complaints).toEqual([]);
});

test("Firefox makes a picture on its processor where it is told to stay in the browser", async () => {
  await open("/");
  await page.select(part("policy"), "browser_only");
  await page.type(part("prompt"), "cat face");
  await page.click(part("generate"));
  await page.waitForSelector(part("save"), { timeout: 120_000 });
  expect(await text("where")).toContain("rten");
  await page.click(part("save"));
  await page.waitForSelector(part("permalink"), { timeout: 60_000 });
  expect(complaints).toEqual([]);
});
