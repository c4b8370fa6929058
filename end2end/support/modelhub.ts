import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { type Server, createServer } from "node:http";
import { join, relative } from "node:path";

const COMMIT = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14";
const DESCRIBED = "/api/models/maker/tiny";
/** Bytes that are sent between two pauses of a slow hub. */
const PIECE = 32 << 10;

/** A hub that has one model, `maker/tiny`: the files of a folder, described as the real one does. */
export class ModelHub {
  private constructor(
    readonly url: string,
    private readonly server: Server,
  ) {}

  /** `pause`: milliseconds between two pieces of weights. */
  static start(folder: string, pause: number): Promise<ModelHub> {
    const files = new Map(below(folder).map((file) => [relative(folder, file), readFileSync(file)]));
    const server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://hub").pathname;
      if ([DESCRIBED, `${DESCRIBED}/revision/${COMMIT}`].includes(path)) {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(described(files)));
        return;
      }
      const name = path.replace(`/maker/tiny/resolve/${COMMIT}/`, "");
      const bytes = files.get(name);
      if (!bytes) {
        response.writeHead(404).end();
        return;
      }
      const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
      const first = Number(range?.[1] ?? 0);
      const last = Math.min(Number(range?.[2] || bytes.length - 1), bytes.length - 1);
      const headers = range && { "content-range": `bytes ${first}-${last}/${bytes.length}` };
      const part = bytes.subarray(first, last + 1);
      response.writeHead(range ? 206 : 200, { "content-length": part.length, ...headers });
      const slow = name.endsWith(".safetensors") && part.length > PIECE;
      const send = (from: number) => {
        if (from >= part.length || response.destroyed) return response.end();
        response.write(part.subarray(from, slow ? from + PIECE : undefined));
        return slow ? setTimeout(send, pause, from + PIECE) : response.end();
      };
      send(0);
    });
    return new Promise((done) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        const port = address && typeof address === "object" ? address.port : 0;
        done(new ModelHub(`http://127.0.0.1:${port}`, server));
      });
    });
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function below(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? below(path) : [path];
  });
}

function described(files: Map<string, Buffer>) {
  const siblings = [...files].map(([rfilename, bytes]) => {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { rfilename, size: bytes.length, lfs: { sha256, size: bytes.length, pointerSize: 134 } };
  });
  return {
    ...{ _id: "638f", id: "maker/tiny", modelId: "maker/tiny", author: "maker", sha: COMMIT, private: false, gated: false, disabled: false },
    ...{ downloads: 1, likes: 1, lastModified: "2024-09-07T16:20:30.000Z", createdAt: "2024-08-30T10:00:00.000Z" },
    ...{ pipeline_tag: "text-to-image", library_name: "diffusers", tags: ["license:mit"], cardData: { license: "mit" }, siblings },
  };
}
