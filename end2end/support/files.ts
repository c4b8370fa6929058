import { createServer, type Server } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import type { AddressInfo } from "node:net";

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** Serves folders under the first part of the path, and one page at `/`. */
export class FileServer {
  private constructor(private readonly server: Server) {}

  static async start(page: string, folders: Record<string, string>): Promise<FileServer> {
    const server = createServer((request, response) => {
      const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://host").pathname));
      const [, first = "", ...rest] = path.split("/");
      const send = (body: Buffer | string, type: string) => response.writeHead(200, { "content-type": type }).end(body);
      if (path === "/") return void send(page, "text/html");
      const folder = folders[first];
      if (!folder) return void response.writeHead(404).end();
      readFile(join(folder, ...rest)).then(
        (body) => send(body, TYPES[extname(path)] ?? "application/octet-stream"),
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FileServer(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
