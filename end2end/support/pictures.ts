import { type Page, expect } from "@playwright/test";
import type { Hub } from "./hub.ts";
import { ask, open, picture } from "./test.ts";

/** Has the server make and list pictures, `count` of them with the seeds from `seed` on; one step each. */
export async function fill(hub: Hub, count: number, seed: number): Promise<void> {
  for (let made = 0; made < count; made += 10) {
    const answer = await fetch(`${hub.url}/v1/images/generations`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: "demo-hub/glyph",
        prompt: `blue star ${seed + made}`,
        n: Math.min(10, count - made),
        seed: seed + made,
        num_inference_steps: 1,
        response_format: "url",
      }),
    });
    expect(answer.status, await answer.clone().text()).toBe(200);
  }
}

/** Makes a picture in this browser on its processor, saves it and gives its permanent link. */
export async function save(page: Page, prompt: string, seed: number, unlisted = false): Promise<string> {
  await open(page, "/");
  await ask(page, { prompt, seed, steps: 2, policy: "browser_only" });
  await picture(page);
  if (unlisted) await page.getByTestId("unlisted").check();
  await page.getByTestId("save").click();
  await expect(page.getByTestId("permalink")).toBeVisible();
  return (await page.getByTestId("permalink").getAttribute("href")) ?? "";
}

/** Drops a file onto the page. */
export async function drop(page: Page, name: string, type: string, bytes: Buffer): Promise<void> {
  const transfer = await page.evaluateHandle(
    ([name, type, base64]) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type }));
      return transfer;
    },
    [name, type, bytes.toString("base64")],
  );
  await page.dispatchEvent("body", "dragover", { dataTransfer: transfer });
  await expect(page.getByTestId("drop-veil")).toBeVisible();
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  await expect(page.getByTestId("drop-veil")).toBeHidden();
}
