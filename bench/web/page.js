// One engine with one model in one page: `start` loads, compiles and runs once; `again` runs and gives milliseconds.
import * as npy from "./npy.js";

const bytes = async (url) => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
};

const engines = {
  async "onnx-gpu"(model, inputs) {
    const module = await import("/engine/engine_page.js");
    const { memory } = await module.default();
    const names = Object.keys(inputs);
    const files = Object.values(inputs);
    return {
      version: module.version(),
      heap: () => memory.buffer.byteLength,
      session: await module.Engine.open(model),
      async run() {
        const answer = await this.session.run(names, files);
        const outputs = {};
        for (let i = 0; i < answer.length; i += 2) outputs[answer[i]] = answer[i + 1];
        return () => outputs;
      },
    };
  },

  async "ort-web"(model, inputs) {
    const ort = await import("/ort/ort.webgpu.min.mjs");
    ort.env.wasm.wasmPaths = "/ort/";
    const feeds = {};
    for (const [name, file] of Object.entries(inputs)) {
      const { type, data, shape } = npy.read(file);
      feeds[name] = new ort.Tensor(type, data, shape);
    }
    return {
      version: ort.env.versions.web,
      heap: () => null,
      session: await ort.InferenceSession.create(model, { executionProviders: ["webgpu"] }),
      async run() {
        const outputs = await this.session.run(feeds);
        return () => Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, npy.write(t.type, t.data, t.dims)]));
      },
    };
  },
};

let engine;

/** Milliseconds from importing the engine's code to the outputs of the first run; the model's bytes are there already. */
export async function start(name, modelUrl, inputUrls) {
  const model = await bytes(modelUrl);
  const inputs = {};
  for (const [input, url] of Object.entries(inputUrls)) inputs[input] = await bytes(url);
  const begin = performance.now();
  engine = await engines[name](model, inputs);
  const opened = performance.now();
  const read = await engine.run();
  const end = performance.now();
  const outputs = Object.entries(read()).map(([output, file]) => [output, npy.base64(file)]);
  const adapter = await navigator.gpu.requestAdapter();
  const count = globalThis.webGpuCount;
  return {
    version: engine.version,
    adapter: `${adapter.info.vendor} ${adapter.info.architecture}`,
    open_ms: opened - begin,
    first_ms: end - begin,
    pipelines: count.pipelines,
    outputs: Object.fromEntries(outputs),
  };
}

/** One warm run, the outputs read back. */
export async function again() {
  const before = { ...globalThis.webGpuCount };
  const begin = performance.now();
  await engine.run();
  const ms = performance.now() - begin;
  const after = globalThis.webGpuCount;
  return {
    ms,
    dispatches: after.dispatches - before.dispatches,
    submits: after.submits - before.submits,
    readbacks: after.readbacks - before.readbacks,
    gpu_peak_bytes: after.peak,
    wasm_heap_bytes: engine.heap(),
  };
}
