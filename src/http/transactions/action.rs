//! What a wallet owner can do, as a call of a contract.

use chain::{Call, Registries, registry};
use identity::{
    agent::{self, Agent},
    fact::RuntimeStatus,
};
use kernel::{Address, U256};
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
        /// The new owner.
        #[schema(value_type = String)]
        to: Address,
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

/// An agent's token.
pub struct Target {
    agent: Agent,
    /// EIP-155 chain id.
    pub chain: u64,
    registry: Address,
    id: U256,
}

impl Action {
    /// The agent that it is done to.
    pub async fn target(&self, db: &Db) -> Result<Option<Target>, Problem> {
        let name = match self {
            Self::Register { .. } => return Ok(None),
            Self::SetUri { agent, .. }
            | Self::Transfer { agent, .. }
            | Self::SetStatus { agent, .. }
            | Self::Heartbeat { agent } => agent,
        };
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
        Ok(Some(Target {
            agent,
            chain,
            registry,
            id,
        }))
    }

    /// The call that does it, sent by `from`.
    pub fn call(
        &self,
        from: Address,
        target: Option<&Target>,
        contracts: &Registries,
    ) -> Result<Call, Problem> {
        let missing =
            |what: &str| Problem::new(Code::Conflict, format!("this chain has no {what}"));
        let status_contract = || {
            contracts
                .status
                .first()
                .copied()
                .ok_or_else(|| missing("AgentStatus contract"))
        };
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
            (Self::SetUri { uri, .. }, Some(at)) => (
                at.registry,
                registry::set_agent_uri(at.id, short(uri, LONGEST_URI, "a URI")?),
            ),
            (Self::Transfer { to, .. }, Some(at)) => {
                let owner = at
                    .agent
                    .owner_address
                    .as_deref()
                    .and_then(|text| text.parse().ok());
                (
                    at.registry,
                    registry::transfer(owner.unwrap_or(from), *to, at.id),
                )
            }
            (Self::SetStatus { status, reason, .. }, Some(at)) => {
                let reason = short(
                    reason.as_deref().unwrap_or_default(),
                    LONGEST_REASON,
                    "a reason",
                )?;
                let code = code_of(status)?;
                (
                    status_contract()?,
                    registry::set_status(at.registry, at.id, code, reason),
                )
            }
            (Self::Heartbeat { .. }, Some(at)) => {
                (status_contract()?, registry::heartbeat(at.registry, at.id))
            }
        };
        Ok(Call::new(to, data))
    }
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
