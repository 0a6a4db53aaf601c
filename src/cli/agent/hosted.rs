//! `--as https`: a registration file on its owner's web server. Nobody can verify its bytes by a hash; that the domain is
//! the agent's shows `/.well-known/agent-registration.json` (ERC-8004, "Endpoint Domain Verification").

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::view::Agent;
use crate::cli::exit::Failure;

/// Where the standard looks for it.
const WELL_KNOWN: &str = ".well-known/agent-registration.json";

/// Where the file will be served, and where it is written meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub struct Hosted {
    /// With --as https: the address at which you serve the file
    #[arg(long, value_name = "URL", value_parser = address)]
    at: Option<String>,
    /// With --as https: the folder into which the file and /.well-known/agent-registration.json are
    /// written, as the web server has them; without it they are printed
    #[arg(long, value_name = "DIR", requires = "at")]
    folder: Option<PathBuf>,
}

fn address(text: &str) -> Result<String, String> {
    let parsed = url::Url::parse(text).map_err(|error| error.to_string())?;
    if parsed.scheme() != "https" || parsed.host_str().is_none() {
        return Err("expected https://HOST/PATH".to_owned());
    }
    Ok(text.to_owned())
}

impl Hosted {
    /// The URI that stands on the chain.
    pub fn uri(&self) -> Result<&str, Failure> {
        self.at
            .as_deref()
            .ok_or_else(|| Failure::invalid("--as https needs --at URL, where you serve the file"))
    }

    /// Hands out the file, before anything is sent: it has to be there when others look for it.
    pub fn write(&self, file: &[u8]) -> Result<(), Failure> {
        let uri = self.uri()?;
        let parsed = url::Url::parse(uri).map_err(|error| Failure::invalid(error.to_string()))?;
        let place = parsed.path().trim_start_matches('/').to_owned();
        let place = if place.is_empty() || place.ends_with('/') {
            format!("{place}index.json")
        } else {
            place
        };
        self.put(&place, file, &format!("serve this at {uri}"))
    }

    /// Hands out what shows that the domain is the agent's, once it has its number.
    pub fn write_proof(&self, file: &[u8], agent: &Agent) -> Result<(), Failure> {
        let Some(bytes) = proof(file, agent) else {
            eprintln!(
                "there is no /{WELL_KNOWN}: `registrations` of the file is no list, so it cannot name the agent"
            );
            return Ok(());
        };
        let what =
            format!("serve this at /{WELL_KNOWN} of the same host, to show that it is yours");
        self.put(WELL_KNOWN, &bytes, &what)
    }

    fn put(&self, place: &str, bytes: &[u8], what: &str) -> Result<(), Failure> {
        let Some(folder) = &self.folder else {
            eprintln!("{what}:\n{}", String::from_utf8_lossy(bytes));
            return Ok(());
        };
        let path = inside(folder, place);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, bytes))
            .map_err(|error| {
                Failure::invalid(format!("cannot write {}: {error}", path.display()))
            })?;
        eprintln!("{what}: {}", path.display());
        Ok(())
    }
}

/// A path of a URL below a folder, whatever dots are in it.
fn inside(folder: &Path, place: &str) -> PathBuf {
    let parts = place
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."));
    parts.fold(folder.to_owned(), |path, part| path.join(part))
}

/// The file with the token that it describes.
fn proof(file: &[u8], agent: &Agent) -> Option<Vec<u8>> {
    let mut file: Value = serde_json::from_slice(file).ok()?;
    let (chain, registry) = (agent.chain?, agent.registry.as_deref()?);
    let id = agent.agent_id.as_deref()?;
    let number = id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id));
    let entry = json!({
        "agentId": number,
        "agentRegistry": format!("eip155:{chain}:{}", registry.to_lowercase()),
    });
    let map = file.as_object_mut()?;
    let named = map.entry("registrations").or_insert_with(|| json!([]));
    let named = named.as_array_mut()?;
    if !named.contains(&entry) {
        named.push(entry);
    }
    serde_json::to_vec_pretty(&file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_in_its_folder() {
        let folder = Path::new("/srv/www");
        for (place, path) in [
            ("agent.json", "/srv/www/agent.json"),
            ("a/b.json", "/srv/www/a/b.json"),
            ("../../etc/passwd", "/srv/www/etc/passwd"),
            ("./.././x", "/srv/www/x"),
        ] {
            assert_eq!(inside(folder, place), Path::new(path), "{place}");
        }
    }

    #[test]
    fn only_https_is_hosted() {
        assert!(address("https://example.com/agent.json").is_ok());
        for wrong in [
            "http://example.com/a",
            "example.com",
            "https://",
            "ftp://x/y",
            "",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
