//! The one form of zip that is needed: stored entries, written in one pass (APPNOTE.TXT 6.3.10).

/// Largest number that a 32-bit field holds; from here on the 64-bit fields say it.
const MAX_32: u64 = 0xFFFF_FFFF;
/// Largest number of entries that a 16-bit field holds.
const MAX_16: u64 = 0xFFFF;
/// Version needed: 2.0 for plain entries, 4.5 for 64-bit fields.
const PLAIN: u16 = 20;
const ZIP64: u16 = 45;
/// General purpose bit 11: names are UTF-8.
const UTF8: u16 = 1 << 11;
/// 1980-01-01, the earliest date of a zip.
const DATE: u16 = 1 << 5 | 1;

/// Makes the bytes of an archive, part by part.
pub struct Zip {
    offset: u64,
    entries: u64,
    directory: Vec<u8>,
    /// Offsets from here on are written in 64 bits.
    wide_from: u64,
}

impl Zip {
    pub fn new() -> Self {
        Self {
            offset: 0,
            entries: 0,
            directory: Vec::new(),
            wide_from: MAX_32,
        }
    }

    /// The header that goes before the bytes of an entry. `None` for what is too long for an entry.
    pub fn entry(&mut self, name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let size = u32::try_from(bytes.len())
            .ok()
            .filter(|&n| u64::from(n) < MAX_32)?;
        let name_length = u16::try_from(name.len()).ok()?;
        let mut common = Vec::new();
        let push = |to: &mut Vec<u8>, fields: &[u16]| {
            to.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        };
        push(&mut common, &[UTF8, 0, 0, DATE]);
        for field in [crc32fast::hash(bytes), size, size] {
            common.extend(field.to_le_bytes());
        }
        push(&mut common, &[name_length]);

        let mut header = b"PK\x03\x04".to_vec();
        push(&mut header, &[PLAIN]);
        header.extend(&common);
        push(&mut header, &[0]);
        header.extend(name.as_bytes());

        let wide = self.offset >= self.wide_from;
        let extra: Vec<u8> = if wide {
            let mut extra = Vec::new();
            push(&mut extra, &[1, 8]);
            extra.extend(self.offset.to_le_bytes());
            extra
        } else {
            Vec::new()
        };
        let version = if wide { ZIP64 } else { PLAIN };
        let directory = &mut self.directory;
        directory.extend(b"PK\x01\x02");
        push(directory, &[version, version]);
        directory.extend(&common);
        // Extra length, comment length, disk, internal attributes, external attributes (two).
        push(
            directory,
            &[u16::try_from(extra.len()).ok()?, 0, 0, 0, 0, 0],
        );
        let offset = if wide { MAX_32 } else { self.offset };
        directory.extend(u32::try_from(offset).ok()?.to_le_bytes());
        directory.extend(name.as_bytes());
        directory.extend(extra);

        self.entries += 1;
        self.offset += header.len() as u64 + u64::from(size);
        Some(header)
    }

    /// The directory that ends the archive.
    pub fn end(self) -> Vec<u8> {
        let (start, length) = (self.offset, self.directory.len() as u64);
        let mut end = self.directory;
        if start.max(length) >= self.wide_from || self.entries >= MAX_16 {
            let record = start + length;
            end.extend(b"PK\x06\x06");
            end.extend(44_u64.to_le_bytes());
            end.extend([ZIP64, ZIP64].iter().flat_map(|v| v.to_le_bytes()));
            end.extend([0_u8; 8]);
            for field in [self.entries, self.entries, length, start] {
                end.extend(field.to_le_bytes());
            }
            end.extend(b"PK\x06\x07");
            end.extend(0_u32.to_le_bytes());
            end.extend(record.to_le_bytes());
            end.extend(1_u32.to_le_bytes());
        }
        let narrow = |value: u64| u32::try_from(value.min(MAX_32)).unwrap_or(u32::MAX);
        let entries = u16::try_from(self.entries.min(MAX_16)).unwrap_or(u16::MAX);
        end.extend(b"PK\x05\x06");
        end.extend(
            [0, 0, entries, entries]
                .iter()
                .flat_map(|v| v.to_le_bytes()),
        );
        end.extend(narrow(length).to_le_bytes());
        end.extend(narrow(start).to_le_bytes());
        end.extend([0, 0]);
        end
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::process::Command;

    use super::*;

    /// Reads names and sizes with Python's `zipfile`, which checks every CRC.
    fn read(archive: &[u8]) -> String {
        let all = "z.testzip() is None and [(i.filename, len(z.read(i))) for i in z.infolist()]";
        ask(archive, all)
    }

    /// What Python says of the `ZipFile` z.
    fn ask(archive: &[u8], question: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(archive).unwrap();
        let script =
            format!("import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print({question})");
        let output = Command::new("python3")
            .args(["-c", &script])
            .arg(file.path())
            .output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn archive(mut zip: Zip, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, bytes) in files {
            out.extend(zip.entry(name, bytes).unwrap());
            out.extend(*bytes);
        }
        out.extend(zip.end());
        out
    }

    #[test]
    fn python_reads_it() {
        let files: [(&str, &[u8]); 3] = [
            ("a.png", b"\0PK\x05\x06"),
            ("é.json", b"{}"),
            ("empty", b""),
        ];
        let expected = "[('a.png', 5), ('é.json', 2), ('empty', 0)]";
        assert_eq!(read(&archive(Zip::new(), &files)), expected);
        let wide = Zip {
            wide_from: 0,
            ..Zip::new()
        };
        assert_eq!(read(&archive(wide, &files)), expected, "with 64-bit fields");
        assert_eq!(read(&archive(Zip::new(), &[])), "[]");
    }

    #[test]
    fn more_files_than_sixteen_bits_count() {
        let names: Vec<String> = (0..70_000).map(|n| n.to_string()).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let counted = ask(
            &archive(Zip::new(), &files),
            "len(z.infolist()), z.infolist()[-1].filename",
        );
        assert_eq!(counted, "70000 69999");
    }
}
