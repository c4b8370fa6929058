import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

/** A file that exists only as a rule for its bytes. */
export interface Virtual {
  size: number;
  bytes(start: number, length: number): Buffer;
}

export const whole = (content: Buffer): Virtual => ({
  size: content.length,
  bytes: (start, length) => content.subarray(start, start + length),
});

/** `pattern` over and over. */
export const repeated = (pattern: Buffer, size: number): Virtual => ({
  size,
  bytes(start, length) {
    const out = Buffer.alloc(length);
    const first = start % pattern.length;
    const head = Math.min(pattern.length - first, length);
    pattern.copy(out, 0, first, first + head);
    // What is there already is doubled until the end.
    let filled = head + pattern.copy(out, head, 0, Math.min(pattern.length, length - head));
    while (filled < length) filled += out.copy(out, filled, head, Math.min(filled, length));
    return out;
  },
});

/** Serves a page at `/`, a folder under `/engine`, and virtual files by ranges. */
export class RangeServer {
  /** Longest range that was asked for. */
  longest = 0;
  /** Bytes sent of the virtual files. */
  sent = 0;

  private constructor(
    private readonly server: Server,
    private readonly files: Record<string, Virtual>,
  ) {}

  static async start(page: string, engine: string, files: Record<string, Virtual>): Promise<RangeServer> {
    const server = createServer((request, response) => {
      const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://host").pathname));
      if (path === "/") return void response.writeHead(200, { "content-type": "text/html" }).end(page);
      if (path.startsWith("/engine/")) return void sendFile(join(engine, path.slice(8)), response);
      ranges.answer(path.slice(1), request, response);
    });
    const ranges = new RangeServer(server, files);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return ranges;
  }

  private answer(name: string, request: IncomingMessage, response: ServerResponse): void {
    const file = this.files[name];
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (!file || !range) return void response.writeHead(file ? 400 : 404).end();
    const start = Number(range[1]);
    const end = Math.min(Number(range[2]), file.size - 1);
    if (start > end) return void response.writeHead(416).end();
    const length = end - start + 1;
    this.longest = Math.max(this.longest, length);
    this.sent += length;
    response
      .writeHead(206, {
        "content-type": "application/octet-stream",
        "content-length": length,
        "content-range": `bytes ${start}-${end}/${file.size}`,
        "cache-control": "no-store",
      })
      .end(file.bytes(start, length));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function sendFile(path: string, response: ServerResponse): void {
  const type = { ".js": "text/javascript", ".wasm": "application/wasm" }[extname(path)] ?? "application/octet-stream";
  readFile(path).then(
    (body) => response.writeHead(200, { "content-type": type }).end(body),
    () => response.writeHead(404).end(),
  );
}
