/** Encodes the few protobuf messages of ONNX that a matrix product needs. */

function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Buffer.from(out);
}

const int = (number: number, value: number) => Buffer.concat([Buffer.from([number << 3]), varint(value)]);

/** What precedes a field's `length` bytes. */
const head = (number: number, length: number) => Buffer.concat([Buffer.from([(number << 3) | 2]), varint(length)]);

function field(number: number, payload: Buffer | string): Buffer {
  const body = Buffer.from(payload as string);
  return Buffer.concat([head(number, body.length), body]);
}

const entry = (key: string, value: string | number) => field(13, Buffer.concat([field(1, key), field(2, String(value))]));

/** An initializer whose data lie in another file; `type` is ONNX's number of the element type. */
export function external(name: string, dims: number[], type: number, location: string, offset: number, length: number): Buffer {
  const shape = dims.map((d) => int(1, d));
  const data = [entry("location", location), entry("offset", offset), entry("length", length)];
  return field(5, Buffer.concat([...shape, int(2, type), field(8, name), ...data, int(14, 1)]));
}

/** An initializer that holds its data itself: 32-bit floats or 64-bit integers. */
export function initializer(name: string, dims: number[], data: Float32Array | BigInt64Array): Buffer {
  const type = data instanceof Float32Array ? 1 : 7;
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return field(5, Buffer.concat([...dims.map((d) => int(1, d)), int(2, type), field(8, name), field(9, raw)]));
}

/** [`initializer`] of 32-bit floats in pieces, of which the last one is `raw` itself: nothing large is copied. */
export function pieces(name: string, dims: number[], raw: Buffer): Buffer[] {
  const before = Buffer.concat([...dims.map((d) => int(1, d)), int(2, 1), field(8, name), head(9, raw.length)]);
  return [head(5, before.length + raw.length), before, raw];
}

/** A node; `attributes` are integers. */
export function node(op: string, inputs: string[], output: string, attributes: Record<string, number> = {}): Buffer {
  const listed = Object.entries(attributes).map(([name, value]) =>
    field(5, Buffer.concat([field(1, name), int(3, value), Buffer.from([0xa0, 1, 2])])),
  );
  return field(1, Buffer.concat([...inputs.map((i) => field(1, i)), field(2, output), field(4, op), ...listed]));
}

/** An input (11) or output (12) of the graph; `type` is ONNX's number of the element type, float unless given. */
export function value(number: 11 | 12, name: string, dims: number[], type = 1): Buffer {
  const shape = field(2, Buffer.concat(dims.map((d) => field(1, int(1, d)))));
  return field(number, Buffer.concat([field(1, name), field(2, field(1, Buffer.concat([int(1, type), shape])))]));
}

/** A model of graph fields, in pieces. */
export function parts(graph: Buffer[]): Buffer[] {
  const length = graph.reduce((sum, piece) => sum + piece.length, 0);
  return [int(1, 9), head(7, length), ...graph, field(8, int(2, 18))];
}

/** A model of graph fields. */
export const model = (graph: Buffer[]) => Buffer.concat(parts(graph));
