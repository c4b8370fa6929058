// `public/sw.js` in node, with stand-ins of the cache and the network: every call of the cache fails, alone and with others.
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { expect, test } from "@playwright/test";

const source = readFileSync(new URL("../../public/sw.js", import.meta.url), "utf8");
const FRESH = "from the network";
const OLD = "kept from before";
const ASSETS = { client_js: "/client-0123456789abcdef.js", client_wasm: "/client-0123456789abcdef.wasm", css: "/app-0123456789abcdef.css" };

const fails = {
  "a full disk": () => Promise.reject(new DOMException("Quota exceeded.", "QuotaExceededError")),
  "a damaged profile": () => Promise.reject(new DOMException("Unexpected internal error.", "UnknownError")),
  "blocked storage": () => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  },
};
type Fail = (typeof fails)[keyof typeof fails];
type Handlers = Record<string, (event: object) => void>;

const paths = [
  { path: "/", mode: "navigate" },
  { path: "/storage", mode: "navigate" },
  { path: "/api/v1/models", mode: "cors" },
  { path: "/favicon.svg", mode: "no-cors" },
  { path: "/client-0123456789abcdef.js", mode: "cors" },
];

/** A cache whose named calls fail, with an old answer under every name or with none. */
function cacheThat(broken: string[], fail: Fail, kept: boolean) {
  const cache: Record<string, unknown> = {
    match: async () => (kept ? new Response(OLD) : undefined),
    put: async () => {},
    add: async () => {},
    keys: async () => [],
    delete: async () => true,
  };
  for (const name of broken) cache[name] = fail;
  return { open: broken.includes("open") ? fail : async () => cache };
}

/** What a page gets for a path, and whether the work beside the answer ended well. */
async function ask(caches: object, { path, mode }: { path: string; mode: string }, online = true) {
  const handlers: Handlers = {};
  const self = {
    addEventListener: (name: string, handler: (event: object) => void) => (handlers[name] = handler),
    location: new URL("https://hub.example/"),
    clients: { claim() {} },
    skipWaiting() {},
  };
  const fetch = async (request: string | { url: string }) => {
    if (!online) throw new TypeError("Failed to fetch");
    return new Response(request === "/assets.json" ? JSON.stringify(ASSETS) : FRESH);
  };
  vm.runInNewContext(source, { self, caches, fetch, URL, Request, Response, console: { warn() {} } });
  const beside: Promise<unknown>[] = [];
  let answer: Promise<Response> | undefined;
  handlers.fetch!({
    request: { method: "GET", url: `https://hub.example${path}`, headers: new Headers(), mode },
    respondWith: (promise: Promise<Response>) => (answer = promise),
    waitUntil: (promise: Promise<unknown>) => beside.push(promise),
  });
  handlers.message!({ data: ["worker"], waitUntil: (promise: Promise<unknown>) => beside.push(promise) });
  const text = await answer!.then((response) => response.text()).catch((error: Error) => error.name);
  const ends = await Promise.allSettled(beside);
  return { text, beside: ends.every((end) => end.status === "fulfilled") };
}

test("what the network answers reaches the page, whatever the cache does", async () => {
  const calls = [["put"], ["open"], ["match"], ["keys"], ["add"], ["delete"], ["put", "add"], ["match", "put", "add", "keys", "delete"]];
  for (const [why, fail] of Object.entries(fails)) {
    for (const broken of calls) {
      for (const kept of [false, true]) {
        for (const path of paths) {
          // A file whose name changes with its content is the same wherever it comes from.
          const hashed = path.path.startsWith("/client-");
          const fromCache = hashed && kept && !broken.includes("match") && !broken.includes("open");
          const got = await ask(cacheThat(broken, fail, kept), path);
          expect(got, `${path.path}, ${why}: ${broken}, kept: ${kept}`).toEqual({ text: fromCache ? OLD : FRESH, beside: true });
        }
      }
    }
  }
});

test("without a network the cache answers, and where it fails the network's error is the page's", async () => {
  for (const path of paths) {
    expect((await ask(cacheThat([], fails["a full disk"], true), path, false)).text).toBe(OLD);
    for (const fail of Object.values(fails)) {
      expect((await ask(cacheThat(["open"], fail, true), path, false)).text).toBe("TypeError");
      expect((await ask(cacheThat(["match"], fail, true), path, false)).text).toBe("TypeError");
    }
    expect((await ask(cacheThat([], fails["a full disk"], false), path, false)).text).toBe("TypeError");
  }
});
