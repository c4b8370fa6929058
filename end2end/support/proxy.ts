import { createServer, request as forward, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request for a file of a package, as the server saw it. */
export interface Fetched {
  file: string;
  /** `Range` of the request. */
  range?: string;
  /** Bytes of the answer that were sent. */
  sent: number;
}

/** What is done to the answer for a file: `hold` stops sending after so many bytes, `drop` cuts the connection there. */
export interface Fault {
  hold?: number;
  drop?: number;
}

/** Stands between browser and hub: keeps a log of the packages' files and disturbs their answers. */
export class Proxy {
  /** Requests for files of packages; manifests, and where files lie, left out. */
  readonly log: Fetched[] = [];
  /** By file name; a `drop` happens once. */
  readonly faults = new Map<string, Fault>();

  private constructor(
    private readonly server: Server,
    private readonly target: URL,
  ) {}

  static async start(target: string): Promise<Proxy> {
    const server = createServer((incoming, response) => proxy.pass(incoming, response));
    const proxy = new Proxy(server, new URL(target));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Requests for one file. */
  of(file: string): Fetched[] {
    return this.log.filter((fetched) => fetched.file === file);
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private pass(incoming: IncomingMessage, response: ServerResponse): void {
    const { hostname, port } = this.target;
    const headers = { ...incoming.headers, host: this.target.host };
    const options = { hostname, port, path: incoming.url, method: incoming.method, headers };
    const upstream = forward(options, (answer) => {
      const path = incoming.url ?? "";
      const file = /^\/models\/[\w-]+\/([\w-]+\.(?:onnx|json))$/.exec(path)?.[1];
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (!file || file === "manifest.json" || file === "addresses.json") return void answer.pipe(response);
      this.disturb(file, incoming, answer, response);
    });
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    incoming.pipe(upstream);
  }

  private disturb(file: string, incoming: IncomingMessage, answer: IncomingMessage, response: ServerResponse): void {
    const fetched: Fetched = { file, range: incoming.headers.range, sent: 0 };
    this.log.push(fetched);
    const fault = this.faults.get(file);
    const limit = fault?.hold ?? fault?.drop ?? Infinity;
    answer.on("data", (chunk: Buffer) => {
      const part = chunk.subarray(0, Math.max(0, limit - fetched.sent));
      fetched.sent += part.length;
      // Flow control is left out: the packages are small.
      if (part.length > 0) response.write(part);
      if (fetched.sent >= limit) {
        answer.pause();
        if (fault?.drop !== undefined) {
          this.faults.delete(file);
          setTimeout(() => response.destroy(), 200);
        }
      }
    });
    answer.on("end", () => response.end());
  }
}
