// Lets the hub open without a network. Pages come from the network where there is one; files whose names change with their
// content come from the cache. Weights, pictures and everything that is not a GET pass by: the render worker keeps the weights.
// A cache may fail at any call: the disk is full, the profile is damaged, storage is blocked. What the network answers passes all
// the same; storing happens beside it, and a failure there only means that less works offline.

const CACHE = "demo-hub-pages";
/** The workers that make pictures: the name in `assets.json`, and how their files begin. */
const WORKERS = { worker: "/render-worker-", cpu_worker: "/cpu-worker-" };
/** Pages that work without a network. */
const PAGES = ["/", "/storage"];
const MODELS = "/api/v1/models";
const ASSETS = "/assets.json";
/** `name-<16 hex digits>…`: see `is_content_addressed` of the server. */
const HASHED = /-[0-9a-f]{16}[^/]*$/;
const ICONS = ["/favicon.svg", "/icon-192.png", "/icon-512.png", "/app.webmanifest"];

self.addEventListener("install", (event) => {
  event.waitUntil(refresh().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  // A picture was made here: from now on the workers that it took shall start without a network too.
  if (Array.isArray(event.data)) beside(event, refresh(event.data));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin || request.headers.has("range")) return;
  if (request.mode === "navigate") {
    if (PAGES.includes(url.pathname)) event.respondWith(page(event, url.pathname));
  } else if (HASHED.test(url.pathname) && !url.pathname.startsWith("/images/")) {
    event.respondWith(cacheFirst(request));
  } else if (url.pathname === MODELS || ICONS.includes(url.pathname)) {
    event.respondWith(networkFirst(event, url.pathname));
  }
});

/** Stores the pages and what they load, and drops files of earlier builds; with the workers that are kept already, or `wanted`. */
async function refresh(wanted = []) {
  const cache = await caches.open(CACHE);
  const build = await fetch(ASSETS, { cache: "no-cache" });
  const assets = await build.clone().json();
  // A worker's address has a search part that changes with its policy.
  const kept = (await cache.keys()).map(({ url }) => new URL(url)).map(({ pathname, search }) => pathname + search);
  const files = [assets.client_js, assets.client_wasm, assets.css];
  for (const [worker, start] of Object.entries(WORKERS)) {
    if (wanted.includes(worker) || kept.some((path) => path.startsWith(start))) files.push(assets[`${worker}_js`], assets[`${worker}_wasm`]);
  }
  const current = new Set(Object.values(assets));
  await Promise.all(files.filter((file) => !kept.includes(file)).map((file) => keep(cache, file)));
  await Promise.all([...PAGES, MODELS, ...ICONS].map((page) => cache.add(new Request(page, { cache: "no-cache" }))));
  await Promise.all(kept.filter((path) => HASHED.test(path) && !current.has(path)).map((path) => cache.delete(path)));
  // Last: a build that was stored in part is stored again.
  await cache.put(ASSETS, build);
}

/** Stores a file for ever, unless it is one of a moment that has passed already: then all of it is tried anew with the next page. */
async function keep(cache, file) {
  const answer = await fetch(file);
  if (!answer.ok || /no-store/.test(answer.headers.get("cache-control"))) throw new Error(`${file} is another one by now`);
  await cache.put(file, answer);
}

/** The page from the network, with everything that it loads stored when the build is a new one; else the stored page. */
async function page(event, key) {
  try {
    const answer = await fetch(event.request);
    if (answer.ok) beside(event, renew());
    return answer;
  } catch (error) {
    return orThrow(await stored(key), error);
  }
}

async function renew() {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(ASSETS);
  const now = await (await fetch(ASSETS, { cache: "no-cache" })).text();
  if (!kept || (await kept.text()) !== now) await refresh();
}

async function networkFirst(event, key) {
  try {
    const answer = await fetch(event.request);
    if (answer.ok) beside(event, store(key, answer.clone()));
    return answer;
  } catch (error) {
    return orThrow(await stored(key), error);
  }
}

async function cacheFirst(request) {
  return (await stored(request)) ?? fetch(request);
}

/** What the cache has; nothing where it fails. */
async function stored(key) {
  try {
    return await (await caches.open(CACHE)).match(key);
  } catch {
    return undefined;
  }
}

async function store(key, answer) {
  const cache = await caches.open(CACHE);
  await cache.put(key, answer);
}

/** Lets work go on behind the answer; it may fail. */
function beside(event, work) {
  event.waitUntil(work.catch((error) => console.warn("what works offline was not stored:", error)));
}

function orThrow(answer, error) {
  if (answer) return answer;
  throw error;
}
