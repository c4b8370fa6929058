// An engine in Chromium as a peer of `cargo xtask bench engine`: one JSON line when the first run is done,
// then one for every line `run` on standard input.
// usage: driver.mjs ENGINE MODEL --chromium FILE --engine-page DIR --save DIR [--input NAME=FILE.npy]…
import { createServer } from "node:http";
import { createReadStream } from "node:fs";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    chromium: { type: "string" },
    "engine-page": { type: "string" },
    save: { type: "string" },
    input: { type: "string", multiple: true, default: [] },
  },
});
const [engine, model] = positionals;
const here = dirname(fileURLToPath(import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const folders = {
  bench: here,
  ort: join(here, "node_modules/onnxruntime-web/dist"),
  engine: values["engine-page"],
};
const files = { model };
const inputs = {};
values.input.forEach((argument, i) => {
  const at = argument.indexOf("=");
  files[`input${i}`] = argument.slice(at + 1);
  inputs[argument.slice(0, at)] = `/file/input${i}`;
});
const page = `<!doctype html><link rel="icon" href="data:,"><title>${engine}</title><script src="/bench/hook.js"></script>`;

const server = createServer(async (request, response) => {
  // Isolated, so that an engine that wants threads has them.
  const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const { pathname } = new URL(request.url, "http://host");
  if (pathname === "/") return void response.writeHead(200, { ...headers, "content-type": "text/html" }).end(page);
  const [, first, ...rest] = pathname.split("/");
  const path = first === "file" ? files[rest[0]] : folders[first] && join(folders[first], ...rest);
  const found = path && (await stat(path).catch(() => null));
  if (!found?.isFile()) return void response.writeHead(404, headers).end();
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  response.writeHead(200, { ...headers, "content-type": type, "content-length": found.size });
  createReadStream(path).pipe(response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const browser = await chromium.launch({
  executablePath: values.chromium,
  args: ["--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-unsafe-webgpu"],
});
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
try {
  const tab = await browser.newPage();
  tab.on("pageerror", (error) => console.error(error.message));
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  const { outputs, ...first } = await tab.evaluate(
    async ([name, inputs]) => (await import("/bench/page.js")).start(name, "/file/model", inputs),
    [engine, inputs],
  );
  await mkdir(values.save, { recursive: true });
  for (const [name, file] of Object.entries(outputs)) {
    await writeFile(join(values.save, `${name.replaceAll("/", "_")}.npy`), Buffer.from(file, "base64"));
  }
  say({ ...first, browser: browser.version() });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === "run") say(await tab.evaluate(async () => (await import("/bench/page.js")).again()));
  }
} catch (error) {
  say({ error: String(error.message ?? error).split("\n")[0].replace(/^page\.evaluate: /, "") });
  process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
