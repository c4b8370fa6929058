//! The most main memory that this process has used.

use std::fs;

/// Prints it where the system tells, which is on Linux. On a software adapter the device's buffers are main memory too; what
/// is mapped from files is counted apart.
pub fn print() {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return;
    };
    let megabytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1.024e-3)
    };
    if let (Some(peak), Some(files)) = (megabytes("VmHWM:"), megabytes("RssFile:")) {
        println!("peak host memory {peak:.1} MB (of what is resident now, files {files:.1} MB)");
    }
}
