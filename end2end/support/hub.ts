import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { built } from "./built.ts";

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.on("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === "object" ? done(address.port) : fail(new Error("no port"))));
    });
  });
}

/** A real `demo-hub serve` on free ports with its own data folder. */
export class Hub {
  private process?: ChildProcess;
  private log = "";

  private constructor(
    readonly url: string,
    readonly storage: string,
    private readonly data: string,
    private readonly options: string[],
  ) {}

  static async start(options: string[] = []): Promise<Hub> {
    const [web, storage] = [await freePort(), await freePort()];
    const data = mkdtempSync(join(tmpdir(), "demo-hub-"));
    const hub = new Hub(`http://127.0.0.1:${web}`, `http://127.0.0.1:${storage}`, data, options);
    await hub.up();
    return hub;
  }

  /** Stops the process and starts another one on the same data. */
  async restart(): Promise<void> {
    await this.down();
    await this.up();
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.data, { recursive: true, force: true });
  }

  private async up(): Promise<void> {
    const host = (origin: string) => new URL(origin).host;
    const child = spawn(
      built.server(),
      [
        ...["serve", "--listen", host(this.url), "--s3-listen", host(this.storage), "--data", this.data],
        ...["--site-dir", built.site(), "--renderer", "cpu", "--catalog-online", "false", ...this.options],
        ...(this.options.includes("--models-dir") ? [] : ["--models-dir", built.models()]),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    this.process = child;
    const keep = (chunk: Buffer) => {
      this.log = (this.log + chunk.toString()).slice(-20_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const deadline = Date.now() + 60_000;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${this.log}`);
      const ready = await fetch(`${this.url}/readyz`).then(async (r) => (await r.json()).status === "ready").catch(() => false);
      if (ready) return;
      if (Date.now() > deadline) throw new Error(`the server is not ready after 60 s:\n${this.log}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  private async down(): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await ended;
    clearTimeout(timer);
  }
}
