//! What a wallet owner can do, as a call of a contract.

use chain::{Call, Registries, registry};
use identity::{
    agent::{self, Agent},
    fact::RuntimeStatus,
};
use kernel::{Address, Bytes, U256};
use serde::Deserialize;
use store::Db;
use utoipa::ToSchema;

use crate::http::{Code, Problem};

/// What is to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Registers a new agent.
    Register {
        /// URI of its registration file; none can be set later.
        #[schema(max_length = 65536)]
        uri: Option<String>,
    },
    /// Names another registration file.
    SetUri {
        /// Any identifier of the agent.
        agent: String,
        /// The URI.
        #[schema(max_length = 65536)]
        uri: String,
    },
    /// Hands the agent over.
    Transfer {
        /// Any identifier of the agent.
        agent: String,
        /// The new owner. Mixed case must be that of EIP-55: a slip would give the agent away.
        to: String,
    },
    /// Names the account that the agent itself uses, with that account's consent.
    SetWallet {
        /// Any identifier of the agent.
        agent: String,
        /// The new wallet. Mixed case must be that of EIP-55.
        wallet: String,
        /// The consent's end, in seconds of Unix time.
        deadline: u64,
        /// The wallet's signature of what `/v1/transactions/wallet-consent` gave, `0x`-hex.
        #[schema(value_type = String, max_length = 8194)]
        signature: Bytes,
    },
    /// Takes the agent's wallet away.
    UnsetWallet {
        /// Any identifier of the agent.
        agent: String,
    },
    /// Says the agent's status on chain.
    SetStatus {
        /// Any identifier of the agent.
        agent: String,
        /// ACTIVE, SLEEP or TERMINATED.
        status: String,
        /// Why.
        #[schema(max_length = 1000)]
        reason: Option<String>,
    },
    /// Says on chain that the agent is alive.
    Heartbeat {
        /// Any identifier of the agent.
        agent: String,
    },
}

/// The longest URI and reason that are worth their gas.
const LONGEST_URI: usize = 64 * 1024;
const LONGEST_REASON: usize = 1000;

/// The longest signature that a contract wallet may need (ERC-1271).
const LONGEST_SIGNATURE: usize = 4096;

/// An agent's token.
pub struct Target {
    agent: Agent,
    /// EIP-155 chain id.
    pub chain: u64,
    /// The registry.
    pub registry: Address,
    /// Its number there.
    pub id: U256,
}

impl Target {
    /// The agent that a name finds, where it has a token.
    pub async fn find(db: &Db, name: &str) -> Result<Self, Problem> {
        let agent = agent::get(db, name).await?;
        let token = (|| {
            let chain = u64::try_from(agent.chain?).ok()?;
            let registry = agent.registry.as_deref()?.parse().ok()?;
            let id = agent.agent_id.as_deref()?.parse().ok()?;
            Some((chain, registry, id))
        })();
        let Some((chain, registry, id)) = token else {
            let detail = format!("`{name}` has no token: nothing can be done with it on a chain");
            return Err(Problem::new(Code::Conflict, detail));
        };
        Ok(Self {
            agent,
            chain,
            registry,
            id,
        })
    }
}

impl Action {
    /// The agent that it is done to.
    pub async fn target(&self, db: &Db) -> Result<Option<Target>, Problem> {
        let name = match self {
            Self::Register { .. } => return Ok(None),
            Self::SetUri { agent, .. }
            | Self::Transfer { agent, .. }
            | Self::SetWallet { agent, .. }
            | Self::UnsetWallet { agent }
            | Self::SetStatus { agent, .. }
            | Self::Heartbeat { agent } => agent,
        };
        Target::find(db, name).await.map(Some)
    }

    /// The call that does it, sent by `from`.
    pub fn call(
        &self,
        from: Address,
        target: Option<&Target>,
        contracts: &Registries,
    ) -> Result<Call, Problem> {
        let (to, data) = match (self, target) {
            (Self::Register { uri }, _) => {
                let registry = contracts.identity.first().copied();
                let registry = registry.ok_or_else(|| missing("identity registry"))?;
                let data = match uri {
                    Some(uri) => registry::register_with_uri(short(uri, LONGEST_URI, "a URI")?),
                    None => registry::register(),
                };
                (registry, data)
            }
            (_, None) => return Err(Problem::new(Code::Invalid, "no agent is named")),
            (Self::SetStatus { status, reason, .. }, Some(at)) => {
                let reason = reason.as_deref().unwrap_or_default();
                let reason = short(reason, LONGEST_REASON, "a reason")?;
                let code = code_of(status)?;
                let data = registry::set_status(at.registry, at.id, code, reason);
                (status_contract(contracts)?, data)
            }
            (Self::Heartbeat { .. }, Some(at)) => {
                let data = registry::heartbeat(at.registry, at.id);
                (status_contract(contracts)?, data)
            }
            (_, Some(at)) => (at.registry, self.of_registry(from, at)?),
        };
        Ok(Call::new(to, data))
    }

    /// What is said to the registry that has the agent's token.
    fn of_registry(&self, from: Address, at: &Target) -> Result<Bytes, Problem> {
        Ok(match self {
            Self::SetUri { uri, .. } => {
                registry::set_agent_uri(at.id, short(uri, LONGEST_URI, "a URI")?)
            }
            Self::Transfer { to, .. } => {
                let owner = at.agent.owner_address.as_deref();
                let owner = owner.and_then(|text| text.parse().ok()).unwrap_or(from);
                registry::transfer(owner, account(to)?, at.id)
            }
            Self::SetWallet {
                wallet,
                deadline,
                signature,
                ..
            } => {
                if signature.len() > LONGEST_SIGNATURE {
                    let detail = format!("a signature has at most {LONGEST_SIGNATURE} bytes here");
                    return Err(Problem::new(Code::Invalid, detail));
                }
                let deadline = U256::from(*deadline);
                registry::set_agent_wallet(at.id, account(wallet)?, deadline, signature.clone())
            }
            Self::UnsetWallet { .. } => registry::unset_agent_wallet(at.id),
            Self::Register { .. } | Self::SetStatus { .. } | Self::Heartbeat { .. } => {
                return Err(Problem::new(
                    Code::Invalid,
                    "that is not said to a registry",
                ));
            }
        })
    }
}

fn missing(what: &str) -> Problem {
    Problem::new(Code::Conflict, format!("this chain has no {what}"))
}

fn status_contract(contracts: &Registries) -> Result<Address, Problem> {
    let first = contracts.status.first().copied();
    first.ok_or_else(|| missing("AgentStatus contract"))
}

/// An address that somebody typed.
pub fn account(text: &str) -> Result<Address, Problem> {
    kernel::written_address(text)
        .map_err(|why| Problem::new(Code::Invalid, format!("`{text}`: {why}")))
}

fn short<'a>(text: &'a str, most: usize, what: &str) -> Result<&'a str, Problem> {
    if text.len() > most {
        return Err(Problem::new(
            Code::Invalid,
            format!("{what} has at most {most} bytes here"),
        ));
    }
    Ok(text)
}

/// The code of `AgentStatus.sol`.
fn code_of(word: &str) -> Result<u8, Problem> {
    let status = RuntimeStatus::parse(word);
    (0..3)
        .find(|code| status.is_some() && RuntimeStatus::from_code(*code) == status)
        .ok_or_else(|| Problem::new(Code::Invalid, "a status is ACTIVE, SLEEP or TERMINATED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_an_address_is_found() {
        let right = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        for good in [
            right.to_owned(),
            right.to_lowercase(),
            right.to_uppercase().replace("0X", "0x"),
        ] {
            assert_eq!(
                account(&good).expect(&good),
                right.parse::<Address>().expect("one")
            );
        }
        for bad in [
            "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb9226",
            "vitalik.eth",
            "",
        ] {
            let problem = account(bad).expect_err(bad);
            assert_eq!(problem.status, 400, "{bad}");
        }
    }
}
