import { expect, test } from "@playwright/test";
import { built } from "../support/built.ts";
import { withWebGpu } from "../support/chromium.ts";
import { FileServer } from "../support/files.ts";

test.use({ launchOptions: withWebGpu });

/** Share of the output's range that an element may be off by. */
const TOLERANCE = 2e-3;
const GRAPHS = [
  { name: "text_encoder", inputs: ["input_ids"], output: "last_hidden_state" },
  { name: "unet", inputs: ["sample", "timestep", "encoder_hidden_states"], output: "out_sample" },
  { name: "vae_decoder", inputs: ["latent_sample"], output: "sample" },
];

interface Report {
  max_abs: number;
  range: number;
  dispatches: number;
  adapter: string;
  first_ms: number;
  ms: number;
}

for (const graph of GRAPHS) {
  test(`${graph.name} in this browser agrees with PyTorch`, async ({ page }) => {
    const files = await FileServer.start("<!doctype html><link rel=icon href=data:,><title>engine</title>", {
      engine: built.enginePage(),
      set: `${built.fixtures()}/small`,
    });
    try {
      await page.goto(files.url);
      const report: Report = await page.evaluate(async ({ name, inputs, output }) => {
        const engine = await import(`${location.origin}/engine/engine_page.js`);
        const file = async (path: string) => {
          const response = await fetch(`/set/${path}`);
          if (!response.ok) throw new Error(`${path}: ${response.status}`);
          return new Uint8Array(await response.arrayBuffer());
        };
        await engine.default();
        const arrays = await Promise.all(inputs.map((_, i) => file(`${name}_in${i}.npy`)));
        return JSON.parse(
          await engine.compare(await file(`${name}.onnx`), inputs, arrays, output, await file(`${name}_out.npy`)),
        );
      }, graph);
      const share = report.max_abs / report.range;
      console.log(
        `${graph.name}: ${share.toExponential(2)} of the range, ${report.dispatches} dispatches, ` +
          `first ${report.first_ms} ms, then ${report.ms} ms (${report.adapter})`,
      );
      expect(report.dispatches).toBeGreaterThan(0);
      expect(share).toBeLessThanOrEqual(TOLERANCE);
    } finally {
      files.close();
    }
  });
}
