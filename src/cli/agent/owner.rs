//! What an owner does with his agent on its chain: `agent edit`, `agent wallet`, `agent transfer`.

use std::path::PathBuf;

use chain::registry::{self, WalletConsent};
use kernel::{Address, U256};
use serde_json::{Value, json};

use super::{
    Which,
    bounds::{Bounds, Callee},
    describe::{Described, Draft},
    find,
    hosted::Hosted,
    kept::Keeping,
    register::{self, Way},
    send::{self, Action, Waiting},
    status::{token, with},
    view::Agent,
};
use crate::cli::{
    Context,
    client::Client,
    exit::Failure,
    key,
    show::{clean, fields},
};

/// Who signs, and how long is waited.
#[derive(Debug, Clone, clap::Args)]
pub struct Signing {
    /// The owner's key: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    bounds: Bounds,
}

/// Arguments of `agent edit`.
#[derive(Debug, Clone, clap::Args)]
pub struct Edit {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    described: Described,
    /// Where the registration file is kept [default: as with register]
    #[arg(long = "as", id = "way", value_enum, value_name = "WAY")]
    way: Option<Way>,
    #[command(flatten)]
    hosted: Hosted,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    signing: Signing,
}

/// Arguments of `agent wallet`.
#[derive(Debug, Clone, clap::Args)]
pub struct Wallet {
    #[command(flatten)]
    which: Which,
    /// The new wallet's key: it signs its consent here, which costs nothing
    #[arg(long = "wallet-key", value_name = "FILE", conflicts_with = "unset")]
    consents: Option<PathBuf>,
    /// Take the wallet away
    #[arg(long)]
    unset: bool,
    #[command(flatten)]
    signing: Signing,
}

/// Arguments of `agent transfer`.
#[derive(Debug, Clone, clap::Args)]
pub struct Transfer {
    #[command(flatten)]
    which: Which,
    /// The new owner
    #[arg(long, value_name = "ADDRESS", value_parser = kernel::written_address)]
    to: Address,
    #[command(flatten)]
    signing: Signing,
}

/// Names another registration file.
pub async fn edit(args: Edit, context: &Context) -> anyhow::Result<()> {
    let draft = args.described.draft()?;
    draft.warn();
    let client = Client::of(context)?;
    let way = register::usual(args.way, &client).await?;
    let uri = register::named(&draft, way, &args.hosted)?;
    let (_, agent) = find(&client, &args.which).await?;
    let (chain, registry, id) = token(&agent)?;
    let kept = register::hand_out(&client, &draft, way, &args.hosted, args.keeping).await?;
    if let (Draft::File(bytes, _), Way::Https) = (&draft, way) {
        args.hosted.write_proof(bytes, &agent)?;
    }
    let action = Action {
        json: json!({ "kind": "set_uri", "agent": agent.id, "uri": uri.uri }),
        data: registry::set_agent_uri(id, &uri.uri),
        chain: Some(chain),
        callee: Callee::Registry(Some(registry)),
    };
    let (value, agent) = sent(&client, &args.which, &args.signing, &action, "editing").await?;
    let value = match agent {
        Some(agent) => {
            register::judged(&client, &agent.id, &draft).await?;
            let (fresh, _) = find(&client, &args.which).await?;
            with(
                fresh,
                &[
                    ("tx", value["tx"].clone()),
                    ("entry", value["entry"].clone()),
                ],
            )
        }
        None => value,
    };
    let value = with(value, &[("kept", json!(kept))]);
    show(context, &client, &value)
}

/// Shows the wallet, sets it with its consent, or takes it away.
pub async fn wallet(args: Wallet, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let (value, agent) = find(&client, &args.which).await?;
    let (chain, registry, id) = token(&agent)?;
    let action = match (&args.consents, args.unset) {
        (None, false) => return show(context, &client, &value),
        (None, true) => Action {
            json: json!({ "kind": "unset_wallet", "agent": agent.id }),
            data: registry::unset_agent_wallet(id),
            chain: Some(chain),
            callee: Callee::Registry(Some(registry)),
        },
        (Some(file), _) => {
            let wallet = key::read(file)?;
            let question = json!({ "agent": agent.id, "wallet": wallet.address().to_string() });
            let path = "v1/transactions/wallet-consent";
            let asked = client.ask(path, &question).await?;
            let owner = agent
                .owner_address
                .as_deref()
                .and_then(|text| text.parse().ok());
            let deadline = asked["deadline"].as_u64();
            let (Some(owner), Some(deadline)) = (owner, deadline) else {
                return Err(client.stranger().into());
            };
            // Built here and not taken from the answer: what is signed is what was meant.
            let consent = WalletConsent {
                chain,
                registry,
                id,
                wallet: wallet.address(),
                owner,
                deadline: U256::from(deadline),
            };
            let signature = consent
                .sign(&wallet)
                .map_err(|error| Failure::Of(error.kind(), error.to_string()))?;
            let to = wallet.address();
            Action {
                json: json!({
                    "kind": "set_wallet", "agent": agent.id, "wallet": to.to_string(),
                    "deadline": deadline, "signature": signature,
                }),
                data: registry::set_agent_wallet(id, to, consent.deadline, signature),
                chain: Some(chain),
                callee: Callee::Registry(Some(registry)),
            }
        }
    };
    let (value, _) = sent(&client, &args.which, &args.signing, &action, "setting it").await?;
    show(context, &client, &value)
}

/// Hands the agent over.
pub async fn transfer(args: Transfer, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let (_, agent) = find(&client, &args.which).await?;
    let (chain, registry, id) = token(&agent)?;
    let owner = agent
        .owner_address
        .as_deref()
        .and_then(|text| text.parse().ok());
    let owner: Address = owner.ok_or_else(|| Failure::invalid("its owner is not known yet"))?;
    let action = Action {
        json: json!({ "kind": "transfer", "agent": agent.id, "to": args.to.to_string() }),
        data: registry::transfer(owner, args.to, id),
        chain: Some(chain),
        callee: Callee::Registry(Some(registry)),
    };
    let (value, _) = sent(&client, &args.which, &args.signing, &action, "a transfer").await?;
    show(context, &client, &value)
}

/// Prepares, signs, sends and waits; gives the agent as it is then, once that is indexed.
async fn sent(
    client: &Client<'_>,
    which: &Which,
    signing: &Signing,
    action: &Action,
    doing: &str,
) -> anyhow::Result<(Value, Option<Agent>)> {
    let Some(file) = &signing.key else {
        return Err(key::missing(client, action.chain, doing).await.into());
    };
    let signer = key::read(file)?;
    let ready = send::prepare(client, &signer, action, &signing.bounds).await?;
    eprintln!("{}", ready.preview());
    let sent = ready.send(client, &signer).await?;
    let progress = sent.wait(client, signing.waiting).await?;
    let (value, agent) = find(client, which).await?;
    let entry = json!(progress.entries.first());
    let value = with(value, &[("tx", json!(sent.tx)), ("entry", entry)]);
    Ok((value, progress.indexed.then_some(agent)))
}

fn show(context: &Context, client: &Client<'_>, value: &Value) -> anyhow::Result<()> {
    let agent = Agent::read(client, value)?;
    let text = |value: &Value| value.as_str().map(clean);
    Ok(context.output.one(value, || {
        fields(&[
            ("agent", Some(agent.short())),
            ("name", Some(clean(&agent.name))),
            ("owner", agent.owner_address.as_deref().map(clean)),
            ("wallet", agent.agent_wallet.as_deref().map(clean)),
            ("kept", text(&value["kept"]["by"])),
            ("read", text(&value["kept"]["at"][0])),
            ("tx", text(&value["tx"])),
            ("entry", text(&value["entry"]["cid"])),
            ("", text(&value["entry"]["state"])),
        ])
    })?)
}
