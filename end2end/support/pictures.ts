import { type Page, expect, request } from "@playwright/test";
import type { Hub } from "./hub.ts";
import { ask, open, picture } from "./test.ts";

/** Has the server make pictures and puts them into the gallery: `count` of them with the seeds from `seed` on, one step each. */
export async function fill(hub: Hub, count: number, seed: number): Promise<void> {
  const visitor = await request.newContext({ baseURL: hub.url });
  for (let made = 0; made < count; made++) {
    const data = { model: "demo-hub/glyph", prompt: `blue star ${seed + made}`, seed: seed + made, num_inference_steps: 1 };
    const answer = await visitor.post("/api/v1/jobs", { data });
    expect(answer.status(), await answer.text()).toBe(202);
    const { id } = (await answer.json()) as { id: string };
    const view = async () => ((await (await visitor.get(`/api/v1/jobs/${id}`)).json()) as { status: string }).status;
    await expect.poll(view, { timeout: 60_000, intervals: [50] }).toBe("completed");
    const listed = await visitor.patch(`/api/v1/images/${id}`, { data: { visibility: "listed" } });
    expect(listed.status(), await listed.text()).toBe(200);
  }
  await visitor.dispose();
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
