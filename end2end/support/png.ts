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

/** EXIF with a user comment in UTF-16, big-endian: one directory that leads to another (TIFF 6.0; Exif 2.32, 4.6.5). */
function exifWith(comment: string): Buffer {
  const text = Buffer.concat([Buffer.from("UNICODE\0", "latin1"), Buffer.from(comment, "utf16le").swap16()]);
  const entry = (tag: number, kind: number, count: number, value: number) => {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt16BE(tag, 0);
    bytes.writeUInt16BE(kind, 2);
    bytes.writeUInt32BE(count, 4);
    bytes.writeUInt32BE(value, 8);
    return Buffer.concat([Buffer.from([0, 1]), bytes, Buffer.alloc(4)]);
  };
  const header = Buffer.from("MM\0*\0\0\0\x08", "latin1");
  return Buffer.concat([header, entry(0x8769, 4, 1, 26), entry(0x9286, 7, text.length, 44), text]);
}

/** A WebP with a comment and no picture. */
export function webpWith(comment: string): Buffer {
  const data = exifWith(comment);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(data.length);
  const body = Buffer.concat([Buffer.from("WEBPEXIF", "latin1"), length, data, Buffer.alloc(data.length % 2)]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.from("RIFF", "latin1"), size, body]);
}

/** A JPEG with a comment and no picture. */
export function jpegWith(comment: string): Buffer {
  const data = Buffer.concat([Buffer.from("Exif\0\0", "latin1"), exifWith(comment)]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(data.length + 2);
  return Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe1]), length, data, Buffer.from([0xff, 0xda, 0, 2, 0xff, 0xd9])]);
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
