//! `chancery audit deploy`: puts an `AuditAnchor` contract on a chain.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use chain::{SendError, Sender, SenderConfig, deploy};
use serde_json::json;

use crate::cli::{Context, exit::Failure, key, show, trusted};

/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks for the receipt.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks, until it is said that the transaction is out and nobody mined it.
const LOOKS: NonZeroU32 = NonZeroU32::new(2_400).unwrap();

/// Arguments of `audit deploy`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A node of the chain
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// The key of whoever pays: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600. Nobody owns
    /// the contract afterwards
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Show what it would cost; send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let signer = key::read(&args.key)?;
    let rpc = trusted::node(&args.rpc).await?;
    let chain = rpc.chain();
    let config = SenderConfig {
        answer_within: ANSWER_WITHIN,
        poll: LOOK_EVERY,
        replace_after: LOOKS,
        most_replacements: 0,
        gas_margin: 20,
        most_fee: None,
    };
    let sender = Sender::new(rpc, signer, config);
    let failed = |error: SendError| Failure::Of(error.kind(), error.to_string());
    let creation = deploy::audit_anchor_creation().map_err(failed)?;
    let drafted = sender.draft(creation).await.map_err(failed)?;
    let preview = show::transaction(chain, &drafted.prepared);
    if args.dry_run {
        let value = json!({ "chain": chain, "transaction": drafted.prepared });
        return Ok(context.output.one(&value, || preview)?);
    }
    eprintln!("{preview}");
    sender.hand(&drafted).await.map_err(failed)?;
    let receipt = sender.wait(drafted).await.map_err(failed)?;
    let contract = receipt
        .created
        .ok_or_else(|| Failure::Unverified("the node's receipt names no contract".to_owned()))?
        .to_string();
    let value = json!({
        "chain": chain, "contract": contract, "tx": receipt.tx.to_string(), "block": receipt.block_number,
        "gas_used": receipt.gas_used,
    });
    Ok(context.output.one(&value, || {
        let fields = show::fields(&[
            ("deployed", Some(contract.clone())),
            ("tx", Some(receipt.tx.to_string())),
            ("block", Some(receipt.block_number.to_string())),
            ("used", Some(format!("{} gas", receipt.gas_used))),
        ]);
        format!(
            "{fields}\nAnchor there, once the block is final:\n\n[journal.anchor]\ncontract = \"{contract}\"\n\
             rpc = \"...\"        # a node of this chain\nkey_file = \"...\"   # another key, which pays for anchors only"
        )
    })?)
}
