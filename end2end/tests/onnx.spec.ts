import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { Hub } from "../support/hub.ts";

test.use({ launchOptions: withWebGpu });

const data = (name: string) => join(import.meta.dirname, "../data", name);
const floats = (file: Buffer) => {
  const start = 10 + file.readUInt16LE(8);
  return Array.from({ length: (file.length - start) / 4 }, (_, i) => file.readFloatLE(start + 4 * i));
};

let hub: Hub;
test.beforeAll(async () => {
  hub = await Hub.start();
});
test.afterAll(() => hub.stop());

test("a dropped ONNX file runs, and gives what ONNX says", async ({ page }) => {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${hub.url}/onnx.html`);
  await expect(page.locator("body")).toHaveAttribute("data-ready", "true");
  const model = readFileSync(data("test_softmax_axis_1.onnx"));
  const transfer = await page.evaluateHandle((bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "softmax.onnx"));
    return transfer;
  }, [...model]);
  await page.getByTestId("drop").dispatchEvent("drop", { dataTransfer: transfer });

  const input = page.locator('tr[data-input="x"]');
  await expect(input).toContainText("float32");
  await expect(input).toContainText("3");
  await input.getByRole("combobox").selectOption("file");
  await input.locator("input[type=file]").setInputFiles(data("test_softmax_axis_1_x.npy"));
  await page.getByTestId("run").click();

  const output = page.locator('tr[data-output="y"]');
  await expect(output).toContainText("3 × 4 × 5");
  await expect(page.getByTestId("times")).toContainText("1 dispatches");
  const download = page.waitForEvent("download");
  await output.getByRole("link").click();
  const actual = floats(readFileSync(await (await download).path()));
  const expected = floats(readFileSync(data("test_softmax_axis_1_y.npy")));
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => expect(Math.abs(actual[i] - value)).toBeLessThan(1e-6));

  await page.getByTestId("profile").click();
  await expect(page.getByTestId("kernels").locator("tr")).toHaveCount(1);
  expect(errors).toEqual([]);
});

test("a file that is no ONNX graph is refused with a sentence", async ({ page }) => {
  await page.goto(`${hub.url}/onnx.html`);
  await expect(page.locator("body")).toHaveAttribute("data-ready", "true");
  await page.getByTestId("model").setInputFiles({ name: "broken.onnx", mimeType: "", buffer: Buffer.from("no graph at all") });
  await expect(page.getByTestId("error")).toContainText("That did not work");
  await expect(page.getByTestId("run")).toBeHidden();
});

test("the page has the masthead of all others", async ({ page }) => {
  const links = () => page.getByRole("navigation", { name: "Pages" }).getByRole("link").evaluateAll((all) => all.map((link) => [link.textContent?.trim(), link.getAttribute("href")].join(" ")));
  await page.goto(hub.url);
  const everywhere = await links();
  expect(everywhere[0]).toBe("Create /");
  await page.goto(`${hub.url}/onnx.html`);
  expect(await links()).toEqual(everywhere);
});
