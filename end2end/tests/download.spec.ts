import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { ask, open, picture } from "../support/test.ts";
import { damage, digests, make, request, status, storedModels, studio, TinyHub, where, worst } from "../support/tinyhub.ts";

test.use({ launchOptions: withWebGpu });

const TABLE = "text_encoder.onnx";
const BLOCK = 1 << 20;

let tiny: TinyHub;
test.beforeAll(async () => {
  tiny = await TinyHub.start();
});
test.afterAll(() => tiny.stop());

test("a download that was killed at 30 % asks only for the missing bytes", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const size = tiny.size(TABLE);
  const hold = Math.floor(size * 0.3);
  tiny.proxy.faults.set(TABLE, { hold });
  const first = await studio(context);
  await ask(first, request);
  await expect.poll(() => tiny.proxy.of(TABLE).at(0)?.sent).toBe(hold);
  await status(first, /Downloading the model: \d/);
  await expect(first.getByTestId("progress")).toHaveAttribute("max", String(tiny.total()));
  // What was sent has arrived when everything but the held part is counted.
  const expected = tiny.total() - size + hold;
  await expect.poll(async () => Number(await first.getByTestId("progress").getAttribute("value"))).toBe(expected);
  await first.close();

  tiny.proxy.faults.clear();
  const second = await studio(context);
  await make(second);
  const [killed, resumed, ...more] = tiny.proxy.of(TABLE);
  console.log(`killed after ${killed.sent} of ${size} bytes; then asked for "${resumed.range}" and got ${resumed.sent}`);
  expect(more).toEqual([]);
  expect(killed.range).toBeUndefined();
  expect(resumed.range).toBe(`bytes=${hold}-`);
  expect(resumed.sent).toBe(size - hold);
  // The other files were complete.
  expect(tiny.proxy.log.filter((f) => f.file !== TABLE).length).toBe(3);
  await context.close();
});

test("a dropped connection is taken up where it broke, in the same run", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const size = tiny.size(TABLE);
  const drop = Math.floor(size * 0.6);
  tiny.proxy.faults.set(TABLE, { drop });
  const page = await studio(context);
  await make(page);
  const [, resumed, ...more] = tiny.proxy.of(TABLE);
  expect(more).toEqual([]);
  const start = Number(/^bytes=(\d+)-$/.exec(resumed.range ?? "")?.[1]);
  // What the browser had not handed on yet is asked for again.
  expect(start).toBeGreaterThan(0);
  expect(start).toBeLessThanOrEqual(drop);
  expect(resumed.sent).toBe(size - start);
  await expect(where(page)).toContainText("in this browser");
  await context.close();
});

test("a download is paused, goes on, and is cancelled at once", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const hold = 3_000_000;
  tiny.proxy.faults.set(TABLE, { hold });
  const page = await studio(context);
  await ask(page, request);
  await expect.poll(() => tiny.proxy.of(TABLE).at(0)?.sent).toBe(hold);
  await page.getByTestId("pause").click();
  await status(page, /^Download paused at /);
  await page.getByTestId("pause").click();
  await expect.poll(() => tiny.proxy.of(TABLE).length).toBe(2);
  const asked = Date.now();
  await page.getByTestId("cancel").click();
  await expect(page.locator("section.result")).toHaveAttribute("data-state", "cancelled");
  console.log(`cancelled while downloading: idle after ${Date.now() - asked} ms`);
  tiny.proxy.faults.clear();
  await make(page);
  await context.close();
});

test("a damaged byte of a stored file is repaired, and nothing else is fetched", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const first = await studio(context);
  const before = await make(first);
  const size = tiny.size(TABLE);
  await first.close();
  tiny.proxy.log.length = 0;

  const page = await studio(context);
  await damage(page, size, 2 * BLOCK + 17);
  const damaged = await digests(page, size);
  expect(damaged.sha256).not.toBe(damaged.name);
  expect(worst(await make(page), before)).toBe(0);
  console.log(`repaired by ${JSON.stringify(tiny.proxy.log)}`);
  expect(tiny.proxy.log).toEqual([{ file: TABLE, range: `bytes=${2 * BLOCK}-${3 * BLOCK - 1}`, sent: BLOCK }]);

  const repaired = await digests(page, size);
  expect(repaired.sha256).toBe(repaired.name);
  await context.close();
});

test("two tabs share one download", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  const hold = 2_000_000;
  tiny.proxy.faults.set(TABLE, { hold });
  const [one, two] = [await studio(context), await studio(context)];
  await ask(one, request);
  await expect.poll(() => tiny.proxy.of(TABLE).at(0)?.sent).toBe(hold);
  await ask(two, request);
  await status(two, /Another tab downloads this model: /);
  expect(tiny.proxy.of(TABLE).length).toBe(1);
  // The first tab goes away in the middle; the second one takes over.
  tiny.proxy.faults.clear();
  await one.close();
  await picture(two);
  expect(tiny.proxy.of(TABLE).map((f) => f.range)).toEqual([undefined, `bytes=${hold}-`]);

  await test.step("with both there, every file is asked for once", async () => {
    await context.close();
    const fresh = await tiny.visitor(browser);
    const tabs = [await studio(fresh), await studio(fresh)];
    await Promise.all(tabs.map((tab) => ask(tab, request)));
    await Promise.all(tabs.map(picture));
    console.log(`two tabs, one download: ${JSON.stringify(tiny.proxy.log)}`);
    expect(tiny.proxy.log.length).toBe(4);
    await fresh.close();
  });
});

test("too little room is a question, before anything is fetched", async ({ browser }) => {
  const context = await tiny.visitor(browser);
  let quota = 12_000_000;
  // Chromium tells every site of the same quota; what a browser with less says is put in its place.
  await context.route(/\/render-worker-[0-9a-f]+\.js/, async (route) => {
    const response = await route.fetch();
    const told = `{
      const estimate = StorageManager.prototype.estimate;
      StorageManager.prototype.estimate = async function () { return { ...(await estimate.call(this)), quota: ${quota} }; };
    }\n`;
    await route.fulfill({ response, body: told + (await response.text()) });
  });
  const page = await studio(context);
  await ask(page, request);
  await expect(page.getByTestId("room")).toBeVisible();
  await status(page, /^The model needs 8\.\d MB and this browser gives \d\.\d MB$/);
  await expect(page.getByTestId("room-evict")).toHaveCount(0);
  expect(tiny.proxy.log).toEqual([]);
  await page.getByTestId("room-without").click();
  await picture(page);
  await expect(where(page)).toContainText("in this browser");

  await test.step("the server makes it where the visitor says so", async () => {
    await open(page, "/?accept-software=1");
    await ask(page, request);
    await page.getByTestId("room-server").click();
    await picture(page);
    await expect(where(page)).toContainText("on the server");
  });

  await test.step("the least recently used model makes room", async () => {
    quota = 24_000_000;
    await open(page, "/?accept-software=1&model=demo-hub%2Falpha");
    await make(page);
    await open(page, "/?accept-software=1&model=demo-hub%2Fbeta");
    await ask(page, request);
    await expect(page.getByTestId("room-evict")).toHaveText(/^Delete Alpha \(8\.\d MB\)$/);
    await page.getByTestId("room-evict").click();
    await picture(page);
    expect(await storedModels(page)).toEqual(["Beta"]);
  });
  await context.close();
});

test("a quota that is exceeded while the model arrives is the same question", async ({ browser }, info) => {
  const context = await tiny.visitor(browser);
  const page = await studio(context, "&model=demo-hub%2Falpha");
  const cdp = await context.newCDPSession(page);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin: tiny.proxy.url, quotaSize: 12_000_000 });
  await make(page);
  await open(page, "/?accept-software=1&model=demo-hub%2Fbeta");
  await ask(page, request);
  await expect(page.getByTestId("room-evict")).toHaveText(/^Delete Alpha \(8\.\d MB\)$/, { timeout: 60_000 });
  await look(page, info, "room");
  const before = tiny.proxy.of(TABLE).length;
  await page.getByTestId("room-evict").click();
  await picture(page);
  expect(await storedModels(page)).toEqual(["Beta"]);
  const resumed = tiny.proxy.of(TABLE)[before];
  console.log(`quota exceeded; after making room asked for "${resumed.range}"`);
  expect(resumed.range).toMatch(/^bytes=[1-9]\d*-$/);
  const stored = await digests(page, tiny.size(TABLE));
  expect(stored.sha256).toBe(stored.name);
  await context.close();
});
