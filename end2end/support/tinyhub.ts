import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, type Page, expect } from "@playwright/test";
import { Hub } from "./hub.ts";
import { Proxy } from "./proxy.ts";
import { ask, open, picture, pixels, shown } from "./test.ts";
import { fileSize, writeTiny } from "./tiny.ts";

/** The request that the tests of faults make; `other` asks the second package. */
export const request = { prompt: "red apple", seed: 1, steps: 4 };

/** A hub with two tiny packages behind a proxy; the second takes no negative prompt. */
export class TinyHub {
  private constructor(
    readonly hub: Hub,
    readonly proxy: Proxy,
    private readonly models: string,
  ) {}

  static async start(): Promise<TinyHub> {
    const models = mkdtempSync(join(tmpdir(), "demo-hub-tiny-"));
    writeTiny(models, "alpha", 1);
    writeTiny(models, "beta", 2, { negativePrompt: false });
    const hub = await Hub.start(["--models-dir", models]);
    return new TinyHub(hub, await Proxy.start(hub.url), models);
  }

  async stop(): Promise<void> {
    this.proxy.close();
    await this.hub.stop();
    rmSync(this.models, { recursive: true, force: true });
  }

  /** Bytes of a file of the first package. */
  size(file: string): number {
    return fileSize(this.models, "alpha", file);
  }

  /** Bytes of the first package. */
  total(): number {
    return ["tokenizer.json", "text_encoder.onnx", "denoiser.onnx", "decoder.onnx"].reduce((sum, file) => sum + this.size(file), 0);
  }

  /** A browser profile of its own. */
  async visitor(browser: Browser): Promise<BrowserContext> {
    this.proxy.log.length = 0;
    this.proxy.faults.clear();
    return browser.newContext({ baseURL: this.proxy.url, serviceWorkers: "block" });
  }
}

/** Opens the studio on the software adapter. */
export async function studio(context: BrowserContext, query = ""): Promise<Page> {
  const page = await context.newPage();
  await open(page, `/?accept-software=1${query}`);
  return page;
}

/** Makes the picture and gives its pixels. */
export async function make(page: Page, change: Partial<typeof request> = {}): Promise<number[]> {
  await ask(page, { ...request, ...change });
  await picture(page);
  return (await pixels(page, await shown(page))).rgb;
}

/** Where and why the picture was made. */
export const where = (page: Page) => page.getByTestId("where");

/** Waits until the status says so. */
export const status = (page: Page, text: RegExp) => expect(page.getByTestId("status")).toHaveText(text, { timeout: 60_000 });

/** Largest difference of a value. */
export const worst = (a: number[], b: number[]) => {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i])));
};

/** SHA-256 and name of the stored file of that size, in the origin's private file system: the same where it is whole. */
export const digests = (page: Page, size: number): Promise<{ name: string; sha256: string }> =>
  page.evaluate(async (size) => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("demo-hub-weights");
    for await (const handle of folder.values()) {
      if (handle.kind !== "file" || !/^[0-9a-f]{64}$/.test(handle.name)) continue;
      const file = await (handle as FileSystemFileHandle).getFile();
      if (file.size !== size) continue;
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
      return { name: handle.name, sha256: Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("") };
    }
    throw new Error(`no stored file has ${size} bytes`);
  }, size);

/** Names of the stored models. */
export const storedModels = (page: Page): Promise<string[]> =>
  page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("demo-hub-weights");
    const names: string[] = [];
    for await (const handle of folder.values()) {
      if (!handle.name.endsWith(".package")) continue;
      const note = JSON.parse(await (await (handle as FileSystemFileHandle).getFile()).text());
      names.push(JSON.parse(note.manifest).name);
    }
    return names.sort();
  });

/** Changes a byte of a stored file, in the origin's private file system. */
export const damage = (page: Page, size: number, at: number): Promise<void> =>
  page.evaluate(
    async ([size, at]) => {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("demo-hub-weights");
      for await (const handle of folder.values()) {
        if (handle.kind !== "file" || !/^[0-9a-f]{64}$/.test(handle.name)) continue;
        const file = await (handle as FileSystemFileHandle).getFile();
        if (file.size !== size) continue;
        const [byte] = new Uint8Array(await file.slice(at, at + 1).arrayBuffer());
        const writable = await (handle as FileSystemFileHandle).createWritable({ keepExistingData: true });
        await writable.write({ type: "write", position: at, data: Uint8Array.of(byte ^ 1) });
        return writable.close();
      }
      throw new Error(`no stored file has ${size} bytes`);
    },
    [size, at] as const,
  );
