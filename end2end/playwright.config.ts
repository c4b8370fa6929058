import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  // A picture on software WebGPU takes minutes on a small machine, and two at once take more than twice as long.
  workers: 1,
  timeout: 8 * 60_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  // A service worker answers before `page.route` does; the test of working offline allows it.
  use: { serviceWorkers: "block" },
  outputDir: "test-results",
});
