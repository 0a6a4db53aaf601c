//! `chancery agent register --gasless`.

use std::path::Path;

use identity::{registration, statement::Action};
use serde_json::{Map, Value};

use super::{
    describe::Draft,
    signing::{Signers, recorded},
};
use crate::cli::{Context, agent_key, client::Client, exit::Failure};

/// What of a registration file a statement says.
const COLUMNS: [&str; 9] = [
    "name",
    "description",
    "avatar_url",
    "endpoint_url",
    "category",
    "summary",
    "version",
    "capabilities",
    "metadata",
];

/// Registers by a statement: the agent's key signs, and the owner's where it is given.
pub async fn register(
    draft: &Draft,
    key: Option<&Path>,
    owner_key: Option<&Path>,
    context: &Context,
) -> anyhow::Result<()> {
    let Draft::File(bytes, _) = draft else {
        let why = "--gasless takes what is registered itself, not a --uri of it";
        return Err(Failure::invalid(why).into());
    };
    let Some(file) = key else {
        let why = "--gasless needs the agent's key: give --key FILE; where there is no such file, a \
                   new key is made there";
        return Err(Failure::invalid(why).into());
    };
    let content = content(bytes);
    let client = Client::of(context)?;
    let (key, made) = agent_key::read_or_create(file)?;
    if made {
        eprintln!(
            "a new key is in {}: keep it, it is the agent",
            file.display()
        );
    }
    let did = key.public().did();
    let signers = Signers::of_key(key).and_account(owner_key)?;
    let answer = signers
        .say(&client, Action::Register, &did, &content)
        .await?;
    Ok(context.output.one(&answer, || recorded(&did, &answer))?)
}

/// A registration file by the columns that it sets.
fn content(bytes: &[u8]) -> Value {
    let fields = registration::fields(&registration::parse(bytes).file);
    let said: Map<String, Value> = fields
        .into_iter()
        .filter(|(name, _)| COLUMNS.contains(&name.as_str()))
        .collect();
    Value::Object(said)
}

#[cfg(test)]
mod tests {
    use identity::statement::canonical;

    use super::*;

    #[test]
    fn a_registration_file_becomes_a_statement() {
        let file =
            br#"{"type": "https://eips.ethereum.org/EIPS/eip-8004#registration-v1", "name": "Ada",
            "description": "Files reports.", "active": true,
            "services": [{"name": "A2A", "endpoint": "https://example.com/a"}]}"#;
        let said = content(file);
        assert_eq!(said["name"], "Ada");
        assert_eq!(said["endpoint_url"], "https://example.com/a");
        assert!(said["capabilities"].is_object(), "{said}");
        assert!(said.get("active").is_none() && said.get("services").is_none());
        canonical::check(&said, 0).expect("no floats");
    }
}
