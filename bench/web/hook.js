// Counts what a page asks of WebGPU, the same way for every engine: runs before any of them is loaded.
const count = { dispatches: 0, pipelines: 0, submits: 0, readbacks: 0, live: 0, peak: 0 };
globalThis.webGpuCount = count;

function around(prototype, name, before) {
  const original = prototype[name];
  prototype[name] = function (...args) {
    before.call(this, ...args);
    return original.apply(this, args);
  };
}

if (globalThis.GPUDevice) {
  for (const name of ["createComputePipeline", "createComputePipelineAsync"]) {
    around(GPUDevice.prototype, name, () => count.pipelines++);
  }
  for (const name of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) {
    around(GPUComputePassEncoder.prototype, name, () => count.dispatches++);
  }
  around(GPUQueue.prototype, "submit", () => count.submits++);
  around(GPUBuffer.prototype, "mapAsync", (mode) => (count.readbacks += mode === GPUMapMode.READ ? 1 : 0));

  // A buffer counts until it is destroyed or, where an engine leaves that to it, the collector has it.
  const destroyed = new WeakSet();
  const collected = new FinalizationRegistry((size) => (count.live -= size));
  const createBuffer = GPUDevice.prototype.createBuffer;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    count.live += buffer.size;
    count.peak = Math.max(count.peak, count.live);
    collected.register(buffer, buffer.size, buffer);
    return buffer;
  };
  around(GPUBuffer.prototype, "destroy", function () {
    if (destroyed.has(this)) return;
    destroyed.add(this);
    collected.unregister(this);
    count.live -= this.size;
  });
}
