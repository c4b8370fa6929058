import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

function chunk(kind: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  crc.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, crc]);
}

/** A grey pixel as PNG, with `tEXt` chunks. */
export function pngWith(texts: Record<string, string>): Buffer {
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
  const text = Object.entries(texts).map(([keyword, value]) => chunk("tEXt", Buffer.from(`${keyword}\0${value}`, "latin1")));
  const data = chunk("IDAT", deflateSync(Buffer.from([0, 128])));
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), ...text, data, chunk("IEND", Buffer.alloc(0))]);
}

/** The texts of a PNG by keyword, compressed ones too (PNG specification, 11.3.3). */
export function textsOf(png: Buffer): Record<string, string> {
  const texts: Record<string, string> = {};
  for (let at = SIGNATURE.length; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const kind = png.toString("latin1", at + 4, at + 8);
    const data = png.subarray(at + 8, at + 8 + png.readUInt32BE(at));
    const keyword = data.toString("latin1", 0, data.indexOf(0));
    const rest = data.subarray(keyword.length + 1);
    if (kind === "tEXt") texts[keyword] = rest.toString("latin1");
    if (kind === "iTXt") {
      const language = rest.indexOf(0, 2);
      const text = rest.subarray(rest.indexOf(0, language + 1) + 1);
      texts[keyword] = (rest[0] ? inflateSync(text) : text).toString("utf8");
    }
  }
  return texts;
}
