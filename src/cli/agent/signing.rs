//! Statements from here: the instance prepares them, we look at them, sign, and bring them. Keys go
//! nowhere.

use std::path::{Path, PathBuf};

use chain::{PrivateKeySigner, key as wallet};
use clap::Subcommand;
use did::{ed25519, ed25519::SecretKey};
use identity::{
    fact::RuntimeStatus,
    statement::{Action, Statement, canonical},
};
use kernel::Kind;
use serde_json::{Map, Value, json};

use super::{Which, find, list, view::Entry};
use crate::cli::{
    Context, agent_key,
    client::{Client, segment},
    exit::Failure,
    key,
    show::{clean, fields},
};

/// Who signs a statement about an agent.
#[derive(Debug, Clone, clap::Args)]
pub struct Signing {
    /// The agent's Ed25519 key: a file of {"public_key", "private_key"} or 64 hex digits, mode 0600
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The owner's key: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600
    #[arg(long, value_name = "FILE")]
    owner_key: Option<PathBuf>,
}

/// What is said.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Set columns and capabilities
    Update(Update),
    /// Set the runtime status or the load
    Status(Status),
    /// Put another key in the place of an agent's key
    Rotate(Rotate),
    /// Give the agent of a key to another owner
    Transfer(Transfer),
    /// End an agent; that of a key for good
    Deregister(Deregister),
    /// Say that the agent of a key and a token are the same one's
    Claim(Claim),
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Update(args) => update(args, context).await,
        Command::Status(args) => status(args, context).await,
        Command::Rotate(args) => rotate(args, context).await,
        Command::Transfer(args) => transfer(args, context).await,
        Command::Deregister(args) => deregister(args, context).await,
        Command::Claim(args) => claim(args, context).await,
    }
}

/// `agent say update`.
#[derive(Debug, Clone, clap::Args)]
pub struct Update {
    #[command(flatten)]
    which: Which,
    /// Columns and their new values as JSON, such as {"name": "Ada"}; null empties one. Capabilities
    /// stand by name in "capabilities"
    #[arg(long, value_name = "JSON")]
    set: String,
    #[command(flatten)]
    signing: Signing,
}

/// `agent say status`.
#[derive(Debug, Clone, clap::Args)]
pub struct Status {
    #[command(flatten)]
    which: Which,
    /// ACTIVE, SLEEP or TERMINATED
    #[arg(value_name = "STATUS", value_parser = list::status, required_unless_present = "load")]
    runtime: Option<RuntimeStatus>,
    /// AVAILABLE or BUSY
    #[arg(long, value_name = "LOAD")]
    load: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

/// `agent say rotate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Rotate {
    #[command(flatten)]
    which: Which,
    /// The agent's key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The key that takes its place; made where the file is not there
    #[arg(long, value_name = "FILE")]
    new_key: PathBuf,
}

/// `agent say transfer`.
#[derive(Debug, Clone, clap::Args)]
pub struct Transfer {
    #[command(flatten)]
    which: Which,
    /// The new owner: an address, eip155:<chain>:<address> where it is a contract, or none
    to: String,
    #[command(flatten)]
    signing: Signing,
}

/// `agent say deregister`.
#[derive(Debug, Clone, clap::Args)]
pub struct Deregister {
    #[command(flatten)]
    which: Which,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

/// `agent say claim`.
#[derive(Debug, Clone, clap::Args)]
pub struct Claim {
    #[command(flatten)]
    which: Which,
    /// The token that is the same agent: eip155:<chain>:<registry>/<agentId>, its DID, or <chain>:<agentId>
    token: String,
    /// The agent's key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The key of the token's owner
    #[arg(long, value_name = "FILE")]
    owner_key: PathBuf,
}

/// The keys that sign one statement.
pub struct Signers {
    keys: Vec<SecretKey>,
    account: Option<PrivateKeySigner>,
}

/// The chain in what a wallet signs here: a key's signature counts on every chain.
const CHAIN: u64 = 1;

impl Signing {
    /// Reads the key that was named: one, and not both.
    fn signers(&self) -> Result<Signers, Failure> {
        match (&self.key, &self.owner_key) {
            (Some(file), None) => Ok(Signers::of_key(agent_key::read(file)?)),
            (None, Some(file)) => Ok(Signers {
                keys: Vec::new(),
                account: Some(key::read(file)?),
            }),
            _ => Err(Failure::invalid(
                "sign with --key FILE as the agent, or with --owner-key FILE as its owner",
            )),
        }
    }
}

impl Signers {
    /// One key of an agent.
    pub fn of_key(key: SecretKey) -> Self {
        Self {
            keys: vec![key],
            account: None,
        }
    }

    /// The owner's account signs, too.
    pub fn and_account(mut self, file: Option<&Path>) -> Result<Self, Failure> {
        if let Some(file) = file {
            self.account = Some(key::read(file)?);
        }
        Ok(self)
    }

    /// Has a statement prepared, refuses to sign any but what was asked for, signs and brings it.
    pub async fn say(
        &self,
        client: &Client<'_>,
        action: Action,
        agent: &str,
        content: &Value,
    ) -> anyhow::Result<Value> {
        let request = json!({ "action": action, "agent": agent, "content": content });
        let mut answer = client.ask("v1/statements/prepare", &request).await?;
        let statement = answer.get_mut("statement").map(Value::take);
        let statement: Option<Statement> =
            statement.and_then(|value| serde_json::from_value(value).ok());
        let statement = statement.ok_or_else(|| client.stranger())?;
        let right = statement.action == action
            && statement.agent == agent
            && statement.content == canonical::write(content);
        if !right {
            let why =
                "the instance prepared another statement than was asked for: nothing was signed";
            return Err(Failure::Unverified(why.to_owned()).into());
        }
        eprintln!(
            "signing for {}: {} {} {}",
            clean(&statement.origin),
            action.as_str(),
            clean(&statement.agent),
            clean(&statement.content)
        );
        let submission = json!({
            "statement": statement.json(),
            "signatures": self.sign(&statement)?,
        });
        let path = match action {
            Action::Register => "v1/agents".to_owned(),
            _ => format!("v1/agents/{}/statements", segment(agent)),
        };
        Ok(client.ask(&path, &submission).await?)
    }

    fn sign(&self, statement: &Statement) -> Result<Vec<Value>, Failure> {
        let mut signatures = Vec::new();
        for key in &self.keys {
            let signature = key.sign(&statement.key_bytes());
            signatures.push(json!({
                "by": key.public().did(),
                "signature": ed25519::signature_wire(&signature),
            }));
        }
        if let Some(account) = &self.account {
            let signature = wallet::sign(account, statement.digest(CHAIN))
                .map_err(|error| Failure::Of(Kind::Internal, error.to_string()))?;
            signatures.push(json!({
                "by": format!("eip155:{CHAIN}:{:#x}", account.address()),
                "signature": kernel::hex_0x(&signature),
            }));
        }
        Ok(signatures)
    }
}

/// Sets status or load.
async fn status(args: Status, context: &Context) -> anyhow::Result<()> {
    let said = [
        (
            "status",
            args.runtime.map(|status| status.as_str().to_owned()),
        ),
        ("load", args.load),
        ("reason", args.reason),
    ];
    let content: Map<String, Value> = said
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
        .collect();
    let signers = args.signing.signers()?;
    let content = Value::Object(content);
    about(&args.which, context, Action::Status, &content, &signers).await
}

/// Sets columns.
async fn update(args: Update, context: &Context) -> anyhow::Result<()> {
    let set: Value = serde_json::from_str(&args.set)
        .map_err(|error| Failure::invalid(format!("--set: {error}")))?;
    let signers = args.signing.signers()?;
    about(&args.which, context, Action::Update, &set, &signers).await
}

/// Puts another key in the key's place.
async fn rotate(args: Rotate, context: &Context) -> anyhow::Result<()> {
    let old = agent_key::read(&args.key)?;
    let (new, made) = agent_key::read_or_create(&args.new_key)?;
    if made {
        eprintln!("a new key is in {}", args.new_key.display());
    }
    let content = json!({ "key": new.public().did() });
    let signers = Signers {
        keys: vec![old, new],
        account: None,
    };
    about(&args.which, context, Action::Rotate, &content, &signers).await
}

/// Gives the agent of a key to another owner.
async fn transfer(args: Transfer, context: &Context) -> anyhow::Result<()> {
    let owner = (args.to != "none").then_some(&args.to);
    let content = json!({ "owner": owner });
    let signers = args.signing.signers()?;
    about(&args.which, context, Action::Transfer, &content, &signers).await
}

/// Ends an agent.
async fn deregister(args: Deregister, context: &Context) -> anyhow::Result<()> {
    let mut content = Map::new();
    if let Some(reason) = &args.reason {
        content.insert("reason".to_owned(), json!(reason));
    }
    let signers = args.signing.signers()?;
    let content = Value::Object(content);
    about(&args.which, context, Action::Deregister, &content, &signers).await
}

/// Links the agent of a key and that of a token.
async fn claim(args: Claim, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let token = Which {
        id: args.token.clone(),
    };
    let (_, token) = find(&client, &token).await?;
    if token.chain.is_none() {
        return Err(Failure::invalid(format!("{} has no token", args.token)).into());
    }
    let content = json!({ "token": token.did });
    let signers =
        Signers::of_key(agent_key::read(&args.key)?).and_account(Some(&args.owner_key))?;
    about(&args.which, context, Action::Claim, &content, &signers).await
}

/// Says it of an agent, and shows what became of it.
async fn about(
    which: &Which,
    context: &Context,
    action: Action,
    content: &Value,
    signers: &Signers,
) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let (_, agent) = find(&client, which).await?;
    let answer = signers.say(&client, action, &agent.did, content).await?;
    Ok(context
        .output
        .one(&answer, || recorded(&agent.did, &answer))?)
}

/// A recorded statement, for people.
pub fn recorded(did: &str, answer: &Value) -> String {
    let entry: Option<Entry> = serde_json::from_value(answer["entry"].clone()).ok();
    fields(&[
        ("agent", answer["agent"].as_str().map(clean)),
        ("DID", Some(clean(did))),
        ("sequence", answer["sequence"].as_str().map(clean)),
        ("entry", entry.as_ref().map(|entry| clean(&entry.cid))),
        ("", entry.map(|entry| clean(&entry.state))),
    ])
}
