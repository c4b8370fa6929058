import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { Builder, Capabilities, type WebDriver } from "selenium-webdriver";
import { freePort } from "./hub.ts";

/** WebKitGTK's small browser, over WebDriver, on a display that nobody sees: Playwright drives only builds of its own. */
export class WebKit {
  private constructor(
    readonly driver: WebDriver,
    private readonly process: ChildProcess,
  ) {}

  static async start(): Promise<WebKit> {
    const binary = process.env.E2E_WEBKIT;
    if (!binary) throw new Error("E2E_WEBKIT is not set: run `cargo xtask test e2e`");
    const port = await freePort();
    const driver = spawn("xvfb-run", ["-a", "WebKitWebDriver", "-p", String(port)], { stdio: "ignore", detached: true });
    const capabilities = new Capabilities({ browserName: "MiniBrowser", "webkitgtk:browserOptions": { binary, args: ["--automation"] } });
    const url = `http://127.0.0.1:${port}/`;
    try {
      for (let tries = 0; ; tries++) {
        const answer = await fetch(`${url}status`).catch(() => undefined);
        if (answer?.ok) break;
        if (tries === 100 || driver.exitCode !== null) throw new Error("WebKitWebDriver did not start");
        await wait(100);
      }
      return new WebKit(await new Builder().usingServer(url).withCapabilities(capabilities).build(), driver);
    } catch (error) {
      end(driver);
      throw error;
    }
  }

  async stop(): Promise<void> {
    try {
      await this.driver.quit();
    } finally {
      end(this.process);
    }
  }
}

/** The display and the driver are one group of processes. */
function end({ pid, exitCode }: ChildProcess): void {
  if (pid && exitCode === null) process.kill(-pid);
}
