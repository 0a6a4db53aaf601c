//! `chancery audit anchor`: how anchoring stands, and what a contract holds of the journal.

use chain::{At, anchor::AnchoredHead};
use journal::{checkpoint::Checkpoint, proof::verify_consistency, tree::Hash};
use kernel::{Address, B256};
use publish::anchor::journal_id;
use serde_json::{Value, json};

use super::check;
use crate::cli::{
    Context,
    client::Client,
    exit::Failure,
    show,
    trusted::{self, node_failed},
};

/// Arguments of `audit anchor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Verify through this node that the journal goes on from what the contract holds; exit code 6 if not
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    /// The contract that you trust [default: the one that the instance names]
    #[arg(long, value_name = "ADDR", requires = "rpc")]
    contract: Option<Address>,
    /// The account whose heads you trust [default: the one that the instance names]
    #[arg(long, value_name = "ADDR", requires = "rpc")]
    keeper: Option<Address>,
    /// The journal's key that you trust [default: the one that the instance names]
    #[arg(long, value_name = "KEY", requires = "rpc")]
    vkey: Option<String>,
}

/// Runs the verb.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    match &args.rpc {
        None => {
            let standing = client.get("audit/anchor").await?;
            Ok(context.output.one(&standing, || human(&standing))?)
        }
        Some(rpc) => verify(args, rpc, &client, context).await,
    }
}

fn human(standing: &Value) -> String {
    let text = |value: &Value| value.as_str().map(show::clean);
    let place = &standing["place"];
    let of = |value: &Value| {
        let size = value["size"].as_u64()?;
        let tx = text(&value["tx"]);
        Some(tx.map_or(format!("{size} entries"), |tx| {
            format!("{size} entries, by {tx}")
        }))
    };
    let spent = standing["spent_gwei"].as_u64().filter(|gwei| *gwei > 0);
    show::fields(&[
        ("state", text(&standing["state"])),
        ("why", text(&standing["why"])),
        (
            "chain",
            place["chain"].as_u64().map(|chain| chain.to_string()),
        ),
        ("contract", text(&place["contract"])),
        ("keeper", text(&place["keeper"])),
        ("journal", text(&place["journal"])),
        ("holds", of(&place["head"])),
        ("anchored", of(&standing["anchored"])),
        ("sent", of(&standing["sent"])),
        (
            "cost",
            spent.map(|gwei| format!("{gwei} gwei in 24 hours, at most")),
        ),
    ])
}

/// Whose head is looked for, and where.
struct Whose {
    contract: Address,
    keeper: Address,
    vkey: String,
}

async fn whose(args: &Args, client: &Client<'_>) -> anyhow::Result<Whose> {
    let standing = client.get("audit/anchor").await?;
    let place = &standing["place"];
    let named = |given: Option<Address>, name: &str| {
        let told = || place[name].as_str().and_then(|text| text.parse().ok());
        given.or_else(told).ok_or_else(|| {
            Failure::not_found(format!(
                "the instance anchors nothing: give --{name} to look for an anchor of its journal"
            ))
        })
    };
    let vkey = match &args.vkey {
        Some(vkey) => vkey.clone(),
        None => String::from_utf8(client.raw("audit/vkey", &[]).await?.bytes)
            .map_err(|_| client.stranger())?,
    };
    Ok(Whose {
        contract: named(args.contract, "contract")?,
        keeper: named(args.keeper, "keeper")?,
        vkey: vkey.trim().to_owned(),
    })
}

/// Asks the node for the head and the instance for the proof, and believes neither.
async fn verify(
    args: &Args,
    rpc: &str,
    client: &Client<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let vkey = args.vkey.as_deref();
    vkey.map(trusted::key).transpose()?;
    let rpc = trusted::node(rpc).await?;
    let whose = whose(args, client).await?;
    let journal = journal_id(&whose.vkey);
    let head = chain::anchor::head(&rpc, whose.contract, whose.keeper, journal, At::Latest);
    let head = head.await.map_err(|error| node_failed(&error))?;
    if head.size == 0 {
        let why = format!(
            "{} on chain {} holds no head of this journal",
            whose.contract,
            rpc.chain()
        );
        return Err(Failure::not_found(why).into());
    }
    let ours = goes_on(head, &whose.vkey, client).await?;
    let value = json!({
        "verified": true, "chain": rpc.chain(), "contract": whose.contract.to_string(),
        "keeper": whose.keeper.to_string(), "journal": journal.to_string(), "vkey": whose.vkey,
        "anchored": { "size": head.size, "root": hex::encode(head.root), "time": head.time },
        "checkpoint": { "size": ours.size, "root": hex::encode(ours.root) },
    });
    Ok(context.output.one(&value, || {
        let fields = show::fields(&[
            (
                "verified",
                Some(format!("{} entries are anchored", head.size)),
            ),
            ("root", Some(hex::encode(head.root))),
            (
                "contract",
                Some(format!("{} on chain {}", whose.contract, rpc.chain())),
            ),
            ("keeper", Some(whose.keeper.to_string())),
            (
                "log",
                Some(format!("{} entries, which begin with these", ours.size)),
            ),
            ("key", Some(show::clean(&whose.vkey))),
        ]);
        format!(
            "{fields}\nThe node, the contract, its keeper and the key are what you have to trust."
        )
    })?)
}

/// The instance's newest checkpoint, which must begin with what the contract holds.
async fn goes_on(
    head: AnchoredHead,
    vkey: &str,
    client: &Client<'_>,
) -> anyhow::Result<Checkpoint> {
    let refused = |why: String| Failure::Unverified(format!("NOT verified: {why}"));
    let size = head.size.to_string();
    let answer = match client.query("audit/anchor", &[("from", size)]).await {
        // A log that is not so long has no such proof.
        Err(Failure::Of(kernel::Kind::Invalid, why)) => {
            let why = format!("the contract holds {} entries, and {why}", head.size);
            return Err(refused(why).into());
        }
        answer => answer?,
    };
    let note = answer["checkpoint"]
        .as_str()
        .ok_or_else(|| client.stranger())?;
    let ours = check(note, vkey).map_err(refused)?;
    let proof: Option<Vec<Hash>> = answer["proof"]
        .as_array()
        .ok_or_else(|| client.stranger())?
        .iter()
        .map(|hash| hash.as_str()?.parse::<B256>().ok().map(|hash| hash.0))
        .collect();
    let proof = proof.ok_or_else(|| client.stranger())?;
    verify_consistency(head.size, ours.size, &proof, &head.root.0, &ours.root).map_err(
        |error| {
            refused(format!(
                "the journal of {} entries does not begin with the {} that are anchored: {error}",
                ours.size, head.size
            ))
        },
    )?;
    Ok(ours)
}
