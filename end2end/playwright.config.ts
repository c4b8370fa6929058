import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  // A picture on software WebGPU takes minutes on a small machine, and two at once take more than twice as long.
  workers: 1,
  timeout: 8 * 60_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  outputDir: "test-results",
});
