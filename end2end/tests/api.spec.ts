import { readdirSync } from "node:fs";
import { built } from "../support/built.ts";
import { withoutWebGpu } from "../support/chromium.ts";
import { expect, test } from "../support/test.ts";

test.use({ launchOptions: withoutWebGpu });

const MODEL = "demo-hub/glyph";

const prompt = "red apple";
const cases: [string, object | string, number, string][] = [
  ["empty prompt", { model: MODEL, prompt: " " }, 422, "empty_prompt"],
  ["prompt of 1,001 characters", { model: MODEL, prompt: "x".repeat(1_001) }, 422, "prompt_too_long"],
  ["prompt of 100 kB", { model: MODEL, prompt: "x".repeat(100_000) }, 422, "prompt_too_long"],
  ["prompt of 10 MB", { model: MODEL, prompt: "x".repeat(10_000_000) }, 413, "body_too_large"],
  ["no steps", { model: MODEL, prompt, num_inference_steps: 0 }, 422, "out_of_range"],
  ["a billion steps", { model: MODEL, prompt, num_inference_steps: 1_000_000_000 }, 422, "out_of_range"],
  ["unknown model", { model: "no/such", prompt }, 404, "unknown_model"],
  ["not JSON", "{", 422, "malformed_request"],
  ["a number for a prompt", { model: MODEL, prompt: 5 }, 422, "malformed_request"],
];

for (const [name, body, status, code] of cases) {
  test(`a bad job is refused with a typed error: ${name}`, async ({ hub }) => {
    const answer = await fetch(`${hub.url}/api/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    const problem = (await answer.json()) as { code: string; detail: string };
    expect([answer.status, problem.code]).toEqual([status, code]);
    expect(problem.detail.length).toBeLessThan(400);
    expect((await fetch(`${hub.url}/readyz`)).status).toBe(200);
  });
}

test("client files come compressed and cacheable for ever", async ({ hub }) => {
  const html = await (await fetch(hub.url)).text();
  const files = [...html.matchAll(/\/(?:client|render-worker|cpu-worker|style)-[0-9a-f]{16}(?:_bg)?\.(?:js|wasm|css)(?:\?[\w=]+)?/g)].map(([file]) => file);
  expect(new Set(files).size).toBe(7);
  for (const file of new Set(files)) {
    const answer = await fetch(hub.url + file, { headers: { "accept-encoding": "br" } });
    expect(answer.status, file).toBe(200);
    expect(answer.headers.get("content-encoding"), file).toBe("br");
    expect(answer.headers.get("cache-control"), file).toContain("immutable");
    if (file.endsWith(".wasm")) expect(answer.headers.get("content-type")).toBe("application/wasm");
  }
});

test("every script that was built carries the policy of what it may connect to", async ({ hub }) => {
  const directive = (answer: Response, name: string) =>
    (answer.headers.get("content-security-policy") ?? "").split("; ").find((part) => part.startsWith(`${name} `));
  const allowed = directive(await fetch(hub.url), "connect-src");
  expect(allowed).toBeTruthy();
  const scripts = readdirSync(built.site(), { recursive: true, encoding: "utf8" }).filter((file) => /\.m?js$/.test(file));
  for (const start of ["client-", "render-worker-", "cpu-worker-", "engine-", "sw.js"]) {
    expect(scripts.filter((file) => file.startsWith(start)).length, start).toBe(1);
  }
  for (const script of scripts) {
    const answer = await fetch(`${hub.url}/${script}`);
    expect(answer.status, script).toBe(200);
    expect(directive(answer, "connect-src"), script).toBe(allowed);
    expect(directive(answer, "script-src"), script).toBe("script-src 'self' 'wasm-unsafe-eval'");
    expect(directive(answer, "default-src"), script).toBe("default-src 'none'");
  }
});
