import type { CDPSession, Page } from "@playwright/test";

/** Bytes of a thread's JavaScript: objects, and what array buffers hold, WebAssembly memory included. */
interface Usage {
  objects: number;
  buffers: number;
}

/** The most that the page and its workers were seen to use. */
export interface Peaks {
  page: Usage;
  worker: Usage;
  samples: number;
}

const HEAP = "Runtime.getHeapUsage";
const POLL_MS = 50;

/** Looks at the heaps of a page and of its workers, again and again, until it is stopped. */
export async function watchHeaps(page: Page): Promise<() => Promise<Peaks>> {
  const cdp = await page.context().newCDPSession(page);
  const peaks: Peaks = { page: { objects: 0, buffers: 0 }, worker: { objects: 0, buffers: 0 }, samples: 0 };
  const note = (usage: Usage, { usedSize, backingStorageSize = 0 }: { usedSize: number; backingStorageSize?: number }) => {
    usage.objects = Math.max(usage.objects, usedSize);
    usage.buffers = Math.max(usage.buffers, backingStorageSize);
    peaks.samples += 1;
  };
  const workers = await attach(cdp, (usage) => note(peaks.worker, usage));
  let at = true;
  const polling = (async () => {
    while (at) {
      note(peaks.page, await cdp.send(HEAP));
      await workers();
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  })();
  return async () => {
    at = false;
    await polling;
    await cdp.detach();
    return peaks;
  };
}

/** Attaches to all workers; the function that it gives asks each of them for its heap. */
async function attach(cdp: CDPSession, heard: (usage: { usedSize: number }) => void): Promise<() => Promise<void>> {
  const sessions = new Set<string>();
  let id = 0;
  cdp.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => targetInfo.type === "worker" && sessions.add(sessionId));
  cdp.on("Target.detachedFromTarget", ({ sessionId }) => sessions.delete(sessionId));
  cdp.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { result } = JSON.parse(message);
    if (result) heard(result);
  });
  await cdp.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  return async () => {
    for (const sessionId of sessions) {
      // A worker that ends in this moment has no heap any more.
      await cdp.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id: ++id, method: HEAP }) }).catch(() => sessions.delete(sessionId));
    }
  };
}
