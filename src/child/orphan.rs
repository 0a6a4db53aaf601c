//! Children that a killed instance left behind.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Ends the process `pid` if its command line holds `marker` (its data's path), which tells it from
/// a stranger that got the same number. Returns whether nothing of it is left.
pub async fn stop_orphan(pid: i32, marker: &str, signals: &[(Signal, Duration)]) -> bool {
    for (signal, patience) in signals {
        if !is_ours(pid, marker) {
            return true;
        }
        tracing::info!(
            pid,
            "stopping process {pid}, left behind by a killed instance"
        );
        let _ = kill(Pid::from_raw(pid), *signal);
        let gone = async {
            while is_ours(pid, marker) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(*patience, gone).await;
    }
    !is_ours(pid, marker)
}

/// Whether `pid` is alive and runs on `marker`. A zombie has no command line and counts as gone.
fn is_ours(pid: i32, marker: &str) -> bool {
    if kill(Pid::from_raw(pid), None).is_err_and(|error| error == nix::errno::Errno::ESRCH) {
        return false;
    }
    command_line(pid).is_some_and(|line| line.contains(marker))
}

fn command_line(pid: i32) -> Option<String> {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&line).into_owned());
    }
    let ps = std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    Some(String::from_utf8_lossy(&ps.ok()?.stdout).into_owned())
}
