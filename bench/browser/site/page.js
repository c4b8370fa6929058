// The page /onnx/: opens a file, fills its inputs, runs it and shows outputs and times.
import init, { Engine } from "{engine_js}";
import * as npy from "{npy_js}";

const $ = (id) => document.getElementById(id);
const ready = init({ module_or_path: new URL("{engine_wasm}", location.origin) });
let engine;
let description;

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

function fail(error) {
  const box = element("div", "", Object.assign(element("p", "That did not work"), { className: "problem-title" }), element("p", error.message ?? String(error)));
  box.className = "problem";
  $("error").replaceChildren(box);
}

/** Does one thing at a time, says what, and shows what goes wrong. */
async function busy(status, action) {
  $("error").replaceChildren();
  $("status").textContent = status;
  const buttons = [...document.querySelectorAll("#form button")];
  for (const button of buttons) button.disabled = true;
  try {
    await action();
  } catch (error) {
    fail(error);
  } finally {
    $("status").textContent = "";
    for (const button of buttons) button.disabled = false;
  }
}

const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

const bytes = async (file) => new Uint8Array(await file.arrayBuffer());

async function open(file) {
  await busy(`Opening ${file.name} …`, async () => {
    $("form").hidden = $("results").hidden = $("kernels").hidden = true;
    engine?.free();
    engine = undefined;
    await ready;
    const start = performance.now();
    engine = await Engine.open(await bytes(file));
    const ms = performance.now() - start;
    description = JSON.parse(engine.describe());
    $("title").textContent = file.name;
    const software = description.software ? ", a software adapter: expect it to be slow" : "";
    $("about").textContent = `${size(file.size)}, opened in ${ms.toFixed(0)} ms on ${description.adapter || "WebGPU"}${software}.`;
    $("inputs").replaceChildren(...description.inputs.map(row));
    $("form").hidden = false;
  });
}

/** A row of the table of inputs. */
function row(input) {
  const lengths = (input.shape ?? []).map((dim) => dimension(input, dim));
  const dims = element("span", "", ...lengths.flatMap((length, i) => (i ? ["×", length] : [length])));
  dims.className = "dims";
  if (!input.shape) dims.append("any rank: give a file");
  if (input.shape?.length === 0) dims.append("scalar");
  const select = element("select", "", ...["random", "zeros", "ones", "file"].map((kind) => new Option(kind === "file" ? ".npy file" : kind, kind)));
  select.setAttribute("aria-label", `How ${input.name} is filled`);
  const file = element("input");
  Object.assign(file, { type: "file", accept: ".npy", hidden: true });
  file.setAttribute("aria-label", `File for ${input.name}`);
  if (!input.shape) select.value = "file";
  const show = () => (file.hidden = select.value !== "file");
  select.addEventListener("change", show);
  show();
  const fill = element("span", "", select, file);
  fill.className = "fill";
  const cells = [element("code", input.name), input.dtype, dims, fill].map((part) => element("td", "", part));
  const tr = element("tr", "", ...cells);
  tr.dataset.input = input.name;
  return tr;
}

function dimension(input, dim) {
  if (typeof dim === "number") return element("code", String(dim));
  const field = element("input");
  Object.assign(field, { type: "number", min: "1", value: "1", required: true, title: dim || "free" });
  field.setAttribute("aria-label", `${dim || "free dimension"} of ${input.name}`);
  return field;
}

/** Uniform in [-1, 1) for floats, 0 to 9 for integers. */
function value(kind, float) {
  if (kind === "zeros") return 0;
  if (kind === "ones") return 1;
  return float ? Math.random() * 2 - 1 : Math.floor(Math.random() * 10);
}

async function tensor(input, tr) {
  const kind = tr.querySelector("select").value;
  if (kind === "file") {
    const [file] = tr.querySelector("input[type=file]").files;
    if (!file) throw new Error(`Choose a .npy file for ${input.name}.`);
    return bytes(file);
  }
  const shape = [...tr.querySelector(".dims").children].map((node) => Number(node.value ?? node.textContent));
  return npy.filled(input.dtype, shape, (float) => value(kind, float));
}

async function inputs() {
  const rows = [...$("inputs").children];
  const files = await Promise.all(description.inputs.map((input, i) => tensor(input, rows[i])));
  return [description.inputs.map((input) => input.name), files];
}

async function run() {
  const [names, files] = await inputs();
  const times = [];
  let answer;
  for (let i = 0; i < $("runs").valueAsNumber + 1; i++) {
    $("status").textContent = i === 0 ? "First run …" : `Run ${i} …`;
    const start = performance.now();
    answer = await engine.run(names, files);
    times.push(performance.now() - start);
  }
  const rows = [];
  for (let i = 0; i < answer.length; i += 2) rows.push(output(answer[i], answer[i + 1]));
  $("outputs").replaceChildren(...rows);
  const [first, ...warm] = times;
  warm.sort((a, b) => a - b);
  const stats = JSON.parse(engine.stats());
  $("times").textContent =
    `First run ${first.toFixed(1)} ms; then ${warm[warm.length >> 1].toFixed(1)} ms (median of ${warm.length}, fastest ${warm[0].toFixed(1)} ms), ` +
    `read-back included. ${stats.dispatches} dispatches, ${stats.pipelines} pipelines, ` +
    `${size(stats.weight_bytes)} of weights, ${size(stats.peak_bytes)} of working memory.`;
  $("results").hidden = false;
}

function output(name, file) {
  const { type, shape, data } = npy.read(file);
  const few = Array.from(data.subarray(0, 6), (x) => (typeof x === "bigint" ? String(x) : Number(x.toPrecision(5))));
  const link = element("a", "save");
  link.href = URL.createObjectURL(new Blob([file]));
  link.download = `${name.replaceAll("/", "_")}.npy`;
  link.setAttribute("aria-label", `Save ${name} as .npy`);
  const values = type === "float16" ? "in the file" : `${few.join(", ")}${data.length > few.length ? " …" : ""}`;
  const cells = [element("code", name), type, element("code", shape.join(" × ") || "scalar"), values, link];
  const tr = element("tr", "", ...cells.map((part) => element("td", "", part)));
  tr.dataset.output = name;
  return tr;
}

async function profile() {
  const [names, files] = await inputs();
  const { kernels } = JSON.parse(await engine.profile(names, files));
  const total = kernels.reduce((sum, kernel) => sum + kernel.ms, 0);
  const rows = kernels.map((kernel) => {
    const speed = kernel.flops ? (kernel.flops / kernel.ms / 1e6).toFixed(2) : "–";
    const moved = kernel.bytes ? (kernel.bytes / 1e6).toFixed(1) : "–";
    const share = `${((100 * kernel.ms) / total).toFixed(1)} %`;
    const cells = [kernel.label, kernel.calls, kernel.ms.toFixed(2), share, speed, moved];
    return element("tr", "", ...cells.map((cell) => element("td", String(cell))));
  });
  $("kernel-rows").replaceChildren(...rows);
  $("kernels").hidden = false;
}

const drop = document.querySelector(".drop");
for (const type of ["dragenter", "dragover"]) {
  addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) open(file);
});
$("model").addEventListener("change", () => $("model").files[0] && open($("model").files[0]));
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  busy("Running …", run);
});
$("profile").addEventListener("click", () => $("form").reportValidity() && busy("Timing each kernel …", profile));
ready.then(() => (document.body.dataset.ready = "true"), fail);
