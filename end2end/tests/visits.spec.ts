import { withWebGpu } from "../support/chromium.ts";
import { look } from "../support/look.ts";
import { ask, expect, open, picture, test } from "../support/test.ts";
import { type Times, times } from "../support/times.ts";

test.use({ launchOptions: withWebGpu });

const apple = { prompt: "red apple, flat style", seed: 1, steps: 2 };

const PARTS = ["Starting", "Downloading", "Loading", "First step", "Other steps", "Decoding"] as const;

test("where the time goes on a cold visit, on a second visit, and for a second picture", async ({ context, hub }, info) => {
  const [model] = await (await fetch(`${hub.url}/api/v1/models`)).json();
  const told: string[] = [];
  const seen: Times[] = [];
  const make = async (visit: string, page: Awaited<ReturnType<typeof context.newPage>>, seed: number) => {
    const before = performance.now();
    await ask(page, { ...apple, seed });
    await picture(page);
    const all = performance.now() - before;
    const made = await times(page);
    const sum = PARTS.reduce((ms, part) => ms + made[part], 0);
    told.push(`${visit}: ${PARTS.map((part) => `${part} ${made[part]} ms`).join(", ")}; to the end of the first step ${sum - made["Other steps"] - made.Decoding} ms`);
    // Nothing is counted twice.
    expect(sum).toBeLessThanOrEqual(all);
    expect(made["GPU memory"]).toBeLessThanOrEqual(model.needs.memory_bytes);
    seen.push(made);
  };
  const graphs: string[] = [];
  context.on("request", (request) => request.url().endsWith(".onnx") && graphs.push(request.url()));
  const first = await context.newPage();
  await open(first, "/?accept-software=1");
  await make("cold visit", first, 1);
  await make("second picture", first, 2);
  await first.getByTestId("times").locator("summary").click();
  await look(first, info, "times");
  await first.close();
  const second = await context.newPage();
  const before = graphs.length;
  await open(second, "/?accept-software=1");
  await make("second visit", second, 3);
  console.log(told.join("\n"));
  const [cold, again] = seen;
  for (const part of PARTS) expect(cold[part], part).toBeGreaterThan(0);
  // A loaded model is used again; a stored one is not fetched again.
  expect([again.Downloading, again.Loading]).toEqual([0, 0]);
  expect(new Set(graphs.slice(0, before)).size).toBe(3);
  expect(graphs.slice(before)).toEqual([]);
  console.log(`GPU memory ${(cold["GPU memory"] / 1e6).toFixed(1)} MB of ${(model.needs.memory_bytes / 1e6).toFixed(1)} MB declared`);
});
