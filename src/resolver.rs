//! Which DID method answers for which DID: the one match over methods.
//!
//! Methods themselves are pure and live in `did`; the facts of our own agents come from `identity`.

use chrono::{DateTime, Utc};
use did::{
    AgentFacts, AgentService, Code, Did, Error, Resolution, ed25519,
    methods::{key, nft, pkh, vexel, web},
};
use identity::{
    agent::{self, Agent},
    document, identifier, registration,
};
use serde_json::Value;
use store::Db;

/// The methods that are answered for.
pub const METHODS: [&str; 5] = [key::NAME, nft::NAME, pkh::NAME, vexel::NAME, web::NAME];

/// What a client asks of a resolution, beyond the DID.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'a> {
    /// Options by the names that DID Resolution and the methods give them.
    pub options: &'a [(String, String)],
    /// Host, and port where it has one, under which this instance is asked: its did:web.
    pub authority: Option<&'a str>,
}

impl Question<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Resolves a DID. That there is no document is an answer; an error is our database's.
pub async fn resolve(
    db: &Db,
    did: &Did,
    question: Question<'_>,
) -> Result<Resolution, identity::Error> {
    let result = match did.method() {
        key::NAME => {
            let options = question
                .options
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            key::Options::parse(options).and_then(|options| key::resolve(did, options))
        }
        pkh::NAME => pkh::resolve(did),
        nft::NAME => match nft::parse(did) {
            Ok(token) => match facts(db, &token.did()).await? {
                Some(facts) => nft::resolve(did, &facts),
                None => Err(unknown("no registry that is followed here has this token")),
            },
            Err(error) => Err(error),
        },
        web::NAME => own_web(db, did, question.authority).await?,
        vexel::NAME => match facts(db, did.as_str()).await? {
            Some(facts) => vexel::resolve(did, &facts),
            None => Err(unknown("no agent here has this DID")),
        },
        other => {
            let detail = format!("did:{other} is not among {}", METHODS.join(", "));
            Err(Error::new(Code::MethodNotSupported, detail))
        }
    };
    Ok(at_version(result, question).into())
}

/// A did:web of one of our own agents. Strangers' documents are not fetched.
async fn own_web(
    db: &Db,
    did: &Did,
    authority: Option<&str>,
) -> Result<Result<Resolution, Error>, identity::Error> {
    if let Err(error) = web::location(did)
        && authority
            .and_then(|authority| web::own_agent(did, authority))
            .is_none()
    {
        return Ok(Err(error));
    }
    let Some(name) = authority.and_then(|authority| web::own_agent(did, authority)) else {
        let detail = "only the did:web of agents of this instance is resolved here";
        return Ok(Err(Error::new(Code::FeatureNotSupported, detail)));
    };
    Ok(match facts(db, &name).await? {
        Some(facts) => web::resolve(did, &facts),
        None => Err(unknown("no agent here has this name")),
    })
}

fn unknown(detail: &str) -> Error {
    Error::new(Code::NotFound, detail)
}

/// Only the newest version of a document is kept: another one that is asked for is told as such.
fn at_version(
    result: Result<Resolution, Error>,
    question: Question<'_>,
) -> Result<Resolution, Error> {
    let resolution = result?;
    let metadata = &resolution.document_metadata;
    if let Some(wanted) = question.option("versionId")
        && metadata.version_id.as_deref() != Some(wanted)
    {
        return Err(only_the_newest());
    }
    if let Some(wanted) = question.option("versionTime") {
        let time: DateTime<Utc> = wanted.parse().map_err(|_| {
            Error::new(
                Code::InvalidOptions,
                "versionTime is a time such as 2026-01-02T03:04:05Z",
            )
        })?;
        if metadata.created.is_some_and(|created| time < created) {
            return Err(unknown("the DID is younger than versionTime"));
        }
        if metadata.updated.is_some_and(|updated| time < updated) {
            return Err(only_the_newest());
        }
    }
    Ok(resolution)
}

fn only_the_newest() -> Error {
    Error::new(
        Code::FeatureNotSupported,
        "only the newest version of a document is kept",
    )
}

/// What a DID document can say of the agent that a name finds.
async fn facts(db: &Db, name: &str) -> Result<Option<AgentFacts>, identity::Error> {
    let Some(agent) = agent::find(db, name).await? else {
        return Ok(None);
    };
    let metadata = document::of_agent(db, agent.id).await?;
    let services = metadata
        .and_then(|metadata| metadata.document)
        .map_or_else(Vec::new, |document| services(&document));
    let names = identifier::list(db, agent.id).await?;
    let also_known_as = names
        .into_iter()
        .filter(|name| match name.standing.as_str() {
            "verified" => ["did", "caip"].contains(&name.kind.as_str()),
            standing => standing == "linked",
        })
        .map(|name| name.value)
        .collect();
    Ok(Some(of_agent(&agent, services, also_known_as)))
}

fn of_agent(agent: &Agent, services: Vec<AgentService>, also_known_as: Vec<String>) -> AgentFacts {
    let address = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    AgentFacts {
        chain: agent.chain.and_then(|chain| u64::try_from(chain).ok()),
        owner: address(&agent.owner_address),
        wallet: address(&agent.agent_wallet),
        key: agent
            .public_key
            .as_deref()
            .and_then(|key| ed25519::parse(key).ok()),
        services,
        also_known_as,
        created: Some(agent.created_at),
        updated: Some(agent.updated_at),
        deactivated: agent.burned || agent.ended,
        block: agent.last_block.and_then(|block| u64::try_from(block).ok()),
    }
}

/// The services of a registration file, in its order; those that lead nowhere are left out.
fn services(document: &Value) -> Vec<AgentService> {
    let file = registration::parse(document.to_string().as_bytes()).file;
    file.services
        .into_iter()
        .filter_map(|service| {
            let (name, version) = (service.name, service.version);
            service.endpoint.map(|endpoint| AgentService {
                name,
                endpoint,
                version,
            })
        })
        .collect()
}
