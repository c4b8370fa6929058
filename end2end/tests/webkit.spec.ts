import { expect, test } from "@playwright/test";
import { By, until, type WebDriver } from "selenium-webdriver";
import { size } from "../support/built.ts";
import { Hub } from "../support/hub.ts";
import { WebKit } from "../support/webkit.ts";

// WebKitGTK is for Linux.
test.skip(process.platform !== "linux");

let hub: Hub;
let webkit: WebKit;
let page: WebDriver;

const part = (name: string) => By.css(`[data-testid="${name}"]`);
const text = async (name: string) => (await page.findElement(part(name))).getText();

async function open(path: string): Promise<void> {
  await page.get(hub.url + path);
  await page.wait(until.elementLocated(By.css('body[data-hydrated="true"]')), 60_000);
}

test.beforeAll(async () => {
  hub = await Hub.start();
  webkit = await WebKit.start();
  page = webkit.driver;
});
test.afterAll(async () => {
  await webkit?.stop();
  await hub?.stop();
});

test("WebKit without WebGPU has its picture made on the server, keeps it and finds it again", async () => {
  await open("/");
  await page.findElement(part("prompt")).sendKeys("red apple, flat style");
  await page.findElement(part("generate")).click();
  const save = await page.wait(until.elementLocated(part("save")), 120_000);
  // The driver scrolls too little on a small window.
  await page.executeScript("arguments[0].click()", save);
  const permalink = await page.wait(until.elementLocated(part("permalink")), 60_000);
  expect(await text("where")).toContain("on the server");
  expect(await text("where")).toContain("this browser has no WebGPU");
  const link = (await permalink.getAttribute("href")) ?? "";
  await page.get(link);
  await page.wait(until.elementLocated(part("picture")), 60_000);
  const width = await page.executeScript("const image = document.querySelector('[data-testid=picture]'); return image.decode().then(() => image.naturalWidth)");
  expect(width).toBe(size().width);
  await open("/gallery");
  const path = new URL(link).pathname;
  expect(await page.findElements(By.css(`a[href="${path}"]`))).toHaveLength(1);
});

test("WebKit makes a picture on its processor where it is told to stay in the browser", async () => {
  await open("/");
  await page.findElement(By.css('[data-testid="policy"] option[value="browser_only"]')).click();
  await page.findElement(part("prompt")).sendKeys("cat face");
  await page.findElement(part("generate")).click();
  const save = await page.wait(until.elementLocated(part("save")), 180_000);
  expect(await text("where")).toContain("rten");
  // The driver scrolls too little on a small window.
  await page.executeScript("arguments[0].click()", save);
  await page.wait(until.elementLocated(part("permalink")), 60_000);
  await open("/storage");
  const stored = await page.wait(until.elementLocated(part("storage")), 60_000);
  await page.wait(until.elementTextContains(stored, "MB"), 60_000);
  console.log(`WebKit's store: ${(await stored.getText()).replaceAll("\n", " ")}`);
});
