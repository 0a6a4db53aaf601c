//! `chancery doctor`.

use std::process::ExitCode;

use super::Context;
use crate::doctor::{self, Check, State};

/// Prints every check; fails if one of them would stop `up`.
pub async fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let gathered = context.gather(Vec::new());
    let checks = doctor::checks(gathered, &context.environment).await;
    context.output.many(&checks, line)?;
    let failed = checks.iter().any(|check| check.state == State::Fail);
    Ok(ExitCode::from(u8::from(failed)))
}

fn line(check: &Check) -> String {
    let state = match check.state {
        State::Ok => "ok  ",
        State::Warn => "warn",
        State::Fail => "FAIL",
    };
    let mut text = format!(
        "{state}  {:<10}  {}",
        check.name,
        check.detail.replace('\n', "\n                  ")
    );
    if let Some(remedy) = &check.remedy {
        text.push_str("\n                  -> ");
        text.push_str(remedy);
    }
    text
}
