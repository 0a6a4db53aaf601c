//! `chancery psql [-- ARGS]`: psql as the owner of the database.

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use percent_encoding::percent_decode_str;
use url::Url;

use super::Context;
use crate::{Error, database::Session, postgres::find_psql, signals::Signals};

/// Arguments of `psql`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What psql gets, such as -c 'SELECT * FROM active_agents'
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// Becomes psql, or, where the database was started for it, waits for it.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let config = context.gather(Vec::new())?.config;
    let Some(psql) = find_psql(&config.postgres, &context.environment).await else {
        anyhow::bail!(
            "psql was not found: install Postgres' client (Debian: apt-get install postgresql-client)"
        );
    };
    let session = Session::open(&config, &context.environment).await?;
    let mut command = Command::new(psql);
    command.envs(connection(&session.url)?).args(args.args);
    if !session.is_temporary() {
        return Err(Error::io("starting psql", command.exec()).into());
    }
    // Ctrl-C is psql's, and the database is stopped after it.
    let mut signals = Signals::listen()?;
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .context("starting psql")?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = signals.next() => {}
        }
    };
    session.close().await;
    let code = status.context("waiting for psql")?.code().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The URL as libpq's variables: arguments would show the password to everybody on this machine.
fn connection(url: &str) -> anyhow::Result<Vec<(String, String)>> {
    let url = Url::parse(url).context("the database's URL")?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| {
        if !value.is_empty() {
            variables.push((name.to_owned(), value));
        }
    };
    set("PGHOST", decode(url.host_str().unwrap_or_default()));
    set("PGPORT", url.port().unwrap_or(5432).to_string());
    set("PGUSER", decode(url.username()));
    set("PGPASSWORD", decode(url.password().unwrap_or_default()));
    set("PGDATABASE", decode(url.path().trim_start_matches('/')));
    for (name, value) in url.query_pairs() {
        let value = value.into_owned();
        match name.as_ref() {
            "host" | "hostaddr" => set("PGHOST", value),
            "port" => set("PGPORT", value),
            "user" => set("PGUSER", value),
            "password" => set("PGPASSWORD", value),
            "dbname" => set("PGDATABASE", value),
            "sslmode" => set("PGSSLMODE", value),
            "sslrootcert" => set("PGSSLROOTCERT", value),
            "sslcert" => set("PGSSLCERT", value),
            "sslkey" => set("PGSSLKEY", value),
            _ => {}
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_url_counts() {
        let vars =
            connection("postgres://o%40x@localhost:5432/chancery?host=%2Ftmp%2Fs&sslmode=disable");
        let vars: std::collections::HashMap<_, _> = vars.unwrap().into_iter().collect();
        assert_eq!(vars["PGHOST"], "/tmp/s");
        assert_eq!(vars["PGUSER"], "o@x");
        assert_eq!(vars["PGDATABASE"], "chancery");
        assert!(!vars.contains_key("PGPASSWORD"));
    }
}
