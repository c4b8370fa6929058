import type { Page } from "@playwright/test";

/**
 * What is put before the render worker's own script: it counts, and breaks what `self.faults` says. The worker itself is the
 * one that visitors get.
 */
const HOOK = `
self.faults = { destroyAt: [], oom: null, oomTimes: 0, ...(%OPTIONS%) };
self.seen = { steps: [], devices: 0, submits: 0 };
(() => {
  let device;
  let armed = false;
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    device = await request.apply(this, args);
    self.seen.devices += 1;
    armed = self.faults.oom === "load";
    return device;
  };
  // Scopes in which memory was asked for or work handed over: what only compiles ahead may fail without harm.
  const scopes = [];
  const touch = () => scopes.forEach((scope) => (scope.touched = true));
  for (const [prototype, method] of [[GPUDevice.prototype, "createBuffer"], [GPUQueue.prototype, "writeBuffer"]]) {
    const plain = prototype[method];
    prototype[method] = function (...args) {
      touch();
      return plain.apply(this, args);
    };
  }
  const submit = GPUQueue.prototype.submit;
  GPUQueue.prototype.submit = function (...args) {
    self.seen.submits += 1;
    touch();
    return submit.apply(this, args);
  };
  const push = GPUDevice.prototype.pushErrorScope;
  const pop = GPUDevice.prototype.popErrorScope;
  GPUDevice.prototype.pushErrorScope = function (filter) {
    scopes.push({ filter, touched: false });
    return push.call(this, filter);
  };
  GPUDevice.prototype.popErrorScope = async function () {
    const { filter, touched } = scopes.pop();
    const caught = pop.call(this);
    if (filter === "out-of-memory" && touched && armed && self.faults.oomTimes > 0) {
      self.faults.oomTimes -= 1;
      armed = false;
      await caught;
      return new GPUOutOfMemoryError("forced by the test");
    }
    return caught;
  };
  const post = self.postMessage.bind(self);
  self.postMessage = (message, ...rest) => {
    const json = Array.isArray(message) ? message[0] : message;
    const { type, event } = JSON.parse(json);
    if (type === "run" && event.kind === "step") {
      self.seen.steps.push(event.step);
      const last = event.step === event.total_steps;
      if (self.faults.oom === "step" && event.step === 1) armed = true;
      if (self.faults.oom === "decode" && last) armed = true;
      const at = self.faults.destroyAt.indexOf(event.step);
      if (at >= 0) {
        self.faults.destroyAt.splice(at, 1);
        device.destroy();
      }
    }
    return post(message, ...rest);
  };
})();
`;

/** Faults of the render worker: steps after which the device is destroyed, once each; where memory runs out, how often. */
export interface WorkerFaults {
  destroyAt?: number[];
  oom?: "load" | "step" | "decode";
  oomTimes?: number;
}

/** What the hook saw in the latest worker. */
export interface Seen {
  steps: number[];
  devices: number;
  submits: number;
}

/** Puts the hook into every render worker of the page. */
export async function breakWorker(page: Page, faults: WorkerFaults = {}): Promise<void> {
  await page.route(/\/render-worker-[0-9a-f]+\.js/, async (route) => {
    const response = await route.fetch();
    const body = HOOK.replace("%OPTIONS%", JSON.stringify(faults)) + (await response.text());
    await route.fulfill({ response, body });
  });
}

/** What the hook saw in the page's worker, forgotten afterwards. */
export const seen = (page: Page): Promise<Seen> => {
  const worker = page.workers().at(-1);
  if (!worker) throw new Error("the page has no worker");
  return worker.evaluate(() => {
    const scope = self as unknown as { seen: Seen };
    const was = scope.seen;
    scope.seen = { steps: [], devices: 0, submits: 0 };
    return was;
  });
};

/** Sets the faults of the page's worker anew. */
export const setFaults = (page: Page, faults: WorkerFaults): Promise<void> => {
  const worker = page.workers().at(-1);
  if (!worker) throw new Error("the page has no worker");
  return worker.evaluate((next) => {
    const scope = self as unknown as { faults: WorkerFaults };
    scope.faults = { destroyAt: [], oomTimes: 0, ...next };
  }, faults);
};
