// NumPy's file format, version 1: what the engines exchange with the outside.
const TYPES = {
  "<f4": ["float32", Float32Array],
  "<i8": ["int64", BigInt64Array],
  "<i4": ["int32", Int32Array],
  "<u2": ["uint16", Uint16Array],
  "|u1": ["uint8", Uint8Array],
  "|b1": ["bool", Uint8Array],
  "<f2": ["float16", Uint16Array],
};

/** `{ type, shape, data }` of a file in C order. */
export function read(file) {
  const view = new DataView(file.buffer, file.byteOffset);
  const start = 10 + view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(file.subarray(10, start));
  const descr = /'descr': *'([^']+)'/.exec(header)?.[1];
  const [type, Data] = TYPES[descr] ?? [];
  if (!type || !/'fortran_order': *False/.test(header)) throw new Error(`an array like ${header} is not read here`);
  const shape = /'shape': *\(([^)]*)\)/.exec(header)[1].split(",").filter((s) => s.trim()).map(Number);
  return { type, shape, data: new Data(file.slice(start).buffer) };
}

/** A file of version 1. */
export function write(type, data, shape) {
  const descr = Object.keys(TYPES).find((key) => TYPES[key][0] === type);
  if (!descr) throw new Error(`${type} is not written here`);
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  header += " ".repeat(63 - ((header.length + 10) % 64)) + "\n";
  const file = new Uint8Array(10 + header.length + data.byteLength);
  file.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  new DataView(file.buffer).setUint16(8, header.length, true);
  file.set(new TextEncoder().encode(header), 10);
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return file;
}

/** For the way out of the page. */
export function base64(file) {
  let text = "";
  for (let i = 0; i < file.length; i += 8192) text += String.fromCharCode(...file.subarray(i, i + 8192));
  return btoa(text);
}

const OF_DTYPE = { float32: "float32", float16: "float16", int64: "int64", int32: "int32", uint8: "uint8", bool: "bool" };

/** A file whose elements `value(whether they are floats)` gives, one call each; `dtype` as the runtime names it. */
export function filled(dtype, shape, value) {
  const type = OF_DTYPE[dtype];
  // Half floats are not made here: few browsers have the arithmetic.
  if (!type || type === "float16") throw new Error(`an input of type ${dtype} has to come from a file`);
  const [, Data] = Object.values(TYPES).find(([name]) => name === type);
  const data = new Data(shape.reduce((product, size) => product * size, 1));
  const make = type === "int64" ? () => BigInt(value(false)) : () => value(type === "float32");
  for (let i = 0; i < data.length; i++) data[i] = type === "bool" ? make() & 1 : make();
  return write(type, data, shape);
}
