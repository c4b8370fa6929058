import { mkdtempSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { Hub } from "../support/hub.ts";
import { open } from "../support/test.ts";
import { make, where, worst } from "../support/tinyhub.ts";
import { writeTiny } from "../support/tiny.ts";

test.use({ launchOptions: withWebGpu });

const FILE = "text_encoder.onnx";

/** A model hub on another origin: its addresses lead on to a second host, which sends ranges, fails half-way once and then sends other bytes. */
class ModelHub {
  readonly asked: { path: string; range?: string; origin?: string; cookie?: string }[] = [];
  /** Bytes after which the connection is cut, by the number of the request; where wrong, other bytes are sent. */
  plan: { cut?: number; wrong?: boolean }[] = [];
  /** Another host than the second one to lead on to. */
  leads?: string;

  private constructor(
    private readonly servers: Server[],
    readonly bytes: Buffer,
  ) {}

  static async start(bytes: Buffer): Promise<ModelHub> {
    const servers: Server[] = [];
    const hub = new ModelHub(servers, bytes);
    const listen = (server: Server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const cdn = createServer((request, response) => {
      const { range, origin, cookie } = request.headers;
      const step = hub.plan.at(hub.asked.length) ?? {};
      hub.asked.push({ path: request.url ?? "", range, origin, cookie });
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
      const all = step.wrong ? Buffer.alloc(bytes.length) : bytes;
      const part = all.subarray(from, step.cut);
      response.writeHead(range ? 206 : 200, {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "content-range",
        "content-length": bytes.length - from,
        ...(range && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      });
      response.write(part);
      if (step.cut === undefined) response.end();
      else setTimeout(() => response.destroy(), 200);
    });
    await listen(cdn);
    const front = createServer((request, response) => {
      // A range is asked for with a preflight where it is more than browsers send on their own.
      const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "range" };
      if (request.method === "OPTIONS") return void response.writeHead(204, cors).end();
      response.writeHead(302, { ...cors, location: `${hub.leads ?? url(cdn)}${request.url}?signed=1` }).end();
    });
    await listen(front);
    servers.push(front, cdn);
    return hub;
  }

  /** Where the model's file is. */
  get address(): string {
    return `${url(this.servers[0])}/maker/model/resolve/451f4fe1/${FILE}`;
  }

  get cdn(): string {
    return url(this.servers[1]);
  }

  stop(): void {
    for (const server of this.servers) {
      server.close();
      server.closeAllConnections();
    }
  }
}

const url = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

test("weights come from the hub, and from this host what the hub does not give", async ({ browser }) => {
  const models = mkdtempSync(join(tmpdir(), "demo-hub-from-hub-"));
  writeTiny(models, "alpha", 1);
  const file = join(models, "alpha", FILE);
  const bytes = readFileSync(file);
  const far = await ModelHub.start(bytes);
  writeFileSync(join(models, "alpha", "addresses.json"), JSON.stringify({ files: { [FILE]: [far.address] } }));
  const hub = await Hub.start(["--models-dir", models, "--weights-hosts", far.cdn]);
  const visit = async () => {
    const context = await browser.newContext({ baseURL: hub.url, serviceWorkers: "block" });
    const page = await context.newPage();
    const own: string[] = [];
    context.on("request", (request) => request.url().startsWith(hub.url) && own.push(new URL(request.url()).pathname));
    far.asked.length = 0;
    await open(page, "/?accept-software=1");
    const rgb = await make(page);
    await expect(where(page)).toContainText("in this browser");
    await context.close();
    return { rgb, own: own.filter((path) => path.endsWith(FILE)) };
  };
  try {
    // The hub fails half-way once and is taken up there; nothing is asked of this host, and nobody is told who is visiting.
    far.plan = [{ cut: Math.floor(bytes.length * 0.6) }, {}];
    const first = await visit();
    expect(first.own).toEqual([]);
    expect(far.asked.length).toBe(2);
    expect(far.asked[1].range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(far.asked.map(({ cookie }) => cookie)).toEqual([undefined, undefined]);

    // Other bytes of the same length: all of it comes from this host, and the picture is the same.
    far.plan = [{ wrong: true }];
    const second = await visit();
    expect(far.asked.length).toBe(1);
    expect(second.own.length).toBe(1);
    expect(worst(first.rgb, second.rgb)).toBe(0);

    // Kept on the hub alone, it is still the model.
    expect(statSync(file).size).toBe(bytes.length);
    unlinkSync(file);
    await hub.restart();
    far.plan = [];
    const third = await visit();
    expect(third.own).toEqual([]);
    expect(worst(first.rgb, third.rgb)).toBe(0);
  } finally {
    await hub.stop();
    far.stop();
    rmSync(models, { recursive: true, force: true });
  }
});

test("a worker reaches the hosts that its page may reach, and no other, not even where one leads on", async ({ browser }) => {
  const models = mkdtempSync(join(tmpdir(), "demo-hub-from-hub-"));
  writeTiny(models, "alpha", 1);
  const bytes = readFileSync(join(models, "alpha", FILE));
  const far = await ModelHub.start(bytes);
  writeFileSync(join(models, "alpha", "addresses.json"), JSON.stringify({ files: { [FILE]: [far.address] } }));
  const strange: string[] = [];
  const stranger = createServer((request, response) => {
    strange.push(request.url ?? "");
    response.writeHead(200, { "access-control-allow-origin": "*", "access-control-allow-headers": "*" }).end(bytes);
  });
  await new Promise<void>((done) => stranger.listen(0, "127.0.0.1", done));
  const hub = await Hub.start(["--models-dir", models, "--weights-hosts", far.cdn]);
  const context = await browser.newContext({ baseURL: hub.url, serviceWorkers: "block" });
  try {
    // The hub leads on to a host that was not allowed: the weights come from this one.
    far.leads = url(stranger);
    const page = await context.newPage();
    const own: string[] = [];
    context.on("request", (request) => request.url().startsWith(hub.url) && own.push(new URL(request.url()).pathname));
    await open(page, "/?accept-software=1");
    await make(page);
    await expect(where(page)).toContainText("in this browser");
    expect(own.filter((path) => path.endsWith(FILE)).length).toBe(1);
    expect(strange).toEqual([]);

    const worker = page.workers().at(-1);
    if (!worker) throw new Error("the page has no worker");
    const get = (address: string) =>
      worker.evaluate(async (address) => {
        const refused = new Promise<string>((done) => {
          self.addEventListener("securitypolicyviolation", (event) => done((event as SecurityPolicyViolationEvent).effectiveDirective), { once: true });
        });
        return fetch(address).then(
          async (answer) => (await answer.arrayBuffer()).byteLength,
          () => Promise.race([refused, new Promise((done) => setTimeout(done, 5000, "no violation"))]),
        );
      }, address);
    expect(await get(`${url(stranger)}/direct`)).toBe("connect-src");
    expect(await get(far.address)).toBe("connect-src");
    expect(strange).toEqual([]);
    // The way that is allowed is open.
    far.leads = undefined;
    expect(await get(far.address)).toBe(bytes.length);
    // Code is loaded from nowhere but here.
    const imported = await worker.evaluate((address) => {
      try {
        (self as unknown as { importScripts(path: string): void }).importScripts(address);
        return "loaded";
      } catch (error) {
        return (error as Error).name;
      }
    }, `${url(stranger)}/code.js`);
    expect(imported).toBe("NetworkError");
    expect(strange).toEqual([]);
  } finally {
    await context.close();
    await hub.stop();
    far.stop();
    stranger.close();
    stranger.closeAllConnections();
    rmSync(models, { recursive: true, force: true });
  }
});
