// Loads a model by HTTP ranges in Chromium and prints how long that took and how far the module's memory grew.
// usage: load.mjs DIR MODEL --chromium FILE --engine-page DIR
import { createServer } from "node:http";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { chromium: { type: "string" }, "engine-page": { type: "string" } },
});
const [folder, model] = positionals;
const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm" };
let longest = 0;

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://host");
  if (pathname === "/") return void response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><link rel=icon href=data:,>");
  const [, first, ...rest] = pathname.split("/");
  const path = join(first === "engine" ? values["engine-page"] : folder, ...rest);
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return void response.writeHead(404).end();
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (!range) {
    response.writeHead(200, { "content-type": type, "content-length": found.size });
    return void createReadStream(path).pipe(response);
  }
  const start = Number(range[1]);
  const end = Math.min(Number(range[2]), found.size - 1);
  longest = Math.max(longest, end - start + 1);
  response.writeHead(206, { "content-type": type, "content-length": end - start + 1, "content-range": `bytes ${start}-${end}/${found.size}` });
  createReadStream(path, { start, end }).pipe(response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const browser = await chromium.launch({ executablePath: values.chromium, args: ["--no-sandbox", "--enable-unsafe-webgpu"] });
try {
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  const report = await tab.evaluate(async (model) => {
    const module = await import("/engine/engine_page.js");
    const { memory } = await module.default();
    const start = performance.now();
    const engine = await module.Engine.fetch(`${location.origin}/model`, model);
    return { ms: performance.now() - start, heap: memory.buffer.byteLength, stats: JSON.parse(engine.stats()) };
  }, model);
  const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(
    `${model} in Chromium ${browser.version()}: loaded in ${(report.ms / 1e3).toFixed(1)} s, ${mb(report.stats.weight_bytes)} of weights on the device, ` +
      `${report.stats.dispatches} dispatches; wasm heap ${mb(report.heap)} at its largest, largest range ${mb(longest)}`,
  );
} catch (error) {
  console.error(String(error.message ?? error).split("\n")[0]);
  process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
