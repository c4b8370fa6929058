//! `cargo xtask doctor`: what is there, what is missing, what would be done.

use anyhow::Result;

use crate::tools::{self, State, duration};
use crate::workspace::Workspace;

/// Prints the table; changes nothing.
pub fn doctor(workspace: &Workspace) -> Result<()> {
    let mut missing = Vec::new();
    println!("{:<18} {:<12} {:<8} details", "tool", "needed for", "state");
    for tool in tools::all(workspace) {
        let (state, details) = match tool.probe()? {
            State::Ready(details) => ("ready", details),
            State::Missing(details) => ("missing", details),
        };
        println!(
            "{:<18} {:<12} {state:<8} {details}",
            tool.name(),
            tool.purpose()
        );
        if state == "missing" {
            missing.push(tool);
        }
    }
    println!("\ncache: {}", workspace.cache.display());
    if missing.is_empty() {
        println!("Nothing is missing.");
        return Ok(());
    }
    println!("The next build, serve or test that needs them will first:");
    for tool in &missing {
        println!(
            "  {:<18} {} (about {})",
            tool.name(),
            tool.plan(),
            duration(tool.seconds())
        );
    }
    let seconds = missing.iter().map(|tool| tool.seconds()).sum();
    println!("together about {}", duration(seconds));
    Ok(())
}
