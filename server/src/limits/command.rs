//! `demo-hub keys`: makes API keys.

use std::io::Write;

use super::keys::new_key;
use crate::config::KeysCommand;

/// Runs the command. What is to be read goes to `out`.
///
/// # Errors
/// When the system has no source of randomness, or `out` takes nothing.
pub fn run(command: KeysCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        KeysCommand::New { name } => {
            let (key, lines) = new_key(&name)?;
            writeln!(out, "The key, which is shown this once:\n\n{key}\n")?;
            writeln!(out, "For the file of --api-keys:\n\n{lines}")?;
        }
    }
    Ok(())
}
