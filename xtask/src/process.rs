//! Running other programs: visibly, or quietly for their output.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Prints the command, runs it with our own output, and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let line = shell_line(command);
    println!("  $ {line}");
    let status = command
        .status()
        .with_context(|| format!("could not start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs quietly and returns standard output, trimmed.
pub fn capture(command: &mut Command) -> Result<String> {
    let line = shell_line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start `{line}`"))?;
    if !output.status.success() {
        bail!(
            "`{line}` failed: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Announces a step, does it, and says how long it took.
pub fn step<T>(title: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n==> {title}");
    let start = Instant::now();
    let value = action().with_context(|| title.to_owned())?;
    println!(
        "    done in {:.1} s: {title}",
        start.elapsed().as_secs_f64()
    );
    Ok(value)
}

/// Path of a program on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(&file))
        .find(|path| path.is_file())
}

/// The command as one would type it, without its environment.
pub fn shell_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        line.push(' ');
        if argument.is_empty() || argument.contains([' ', '"', '$', '*']) {
            line.push_str(&format!("'{argument}'"));
        } else {
            line.push_str(&argument);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = run(Command::new("false").arg("a b")).unwrap_err();
        assert!(error.to_string().contains("false 'a b'"), "{error}");
        let error = capture(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn output_is_captured() {
        assert_eq!(capture(Command::new("echo").arg("hub")).unwrap(), "hub");
    }
}
