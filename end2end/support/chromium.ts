import type { LaunchOptions } from "@playwright/test";

const QUIET = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-quic",
];

const executablePath = process.env.PLAYWRIGHT_CHROMIUM || undefined;

/** Chromium with WebGPU on its software adapter. */
export const withWebGpu: LaunchOptions = { executablePath, args: [...QUIET, "--enable-unsafe-webgpu"] };

/** Chromium whose WebGPU gives no adapter. */
export const withoutWebGpu: LaunchOptions = { executablePath, args: [...QUIET, "--disable-features=WebGPU,WebGPUService", "--disable-blink-features=WebGPU"] };
