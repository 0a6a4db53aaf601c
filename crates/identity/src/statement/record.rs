//! Recording statements: many of them in one transaction, set-based, each allowed or refused by itself.

use std::collections::{HashMap, HashSet};

use kernel::{Address, AgentId, B256};
use serde_json::{Value, json};
use store::Tx;
use uuid::Uuid;

use super::{
    Action, Signed,
    authority::{self, Allowed, Case, Standing, TokenStanding},
    facts,
};
use crate::{
    Error, Result, claim, dirty, identifier,
    key::{self, NewKey},
    project::{lock, plan_afresh, project_stated, share_plans},
};

/// What became of a statement that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The agent.
    pub agent: AgentId,
    /// The statement's serial; it is named by `statement:<serial>`.
    pub serial: i64,
    /// Its entry in the journal; none where somebody holds the agent's row, and it follows later.
    pub entry: Option<String>,
}

/// Records statements that [`super::verify`] took, and projects their agents, in the caller's
/// transaction. Each has an outcome of its own; an error is the whole transaction's.
///
/// Two of one agent cannot be recorded at once: the second one's outcome is [`Error::Raced`], and the
/// caller brings it again.
pub async fn record(tx: &mut Tx, signed: &[Signed]) -> Result<Vec<Result<Receipt>>> {
    share_plans(tx).await?;
    let mut outcomes: Vec<Result<Uuid>> = whom(tx, signed).await?;
    let mut seen = HashSet::new();
    for outcome in &mut outcomes {
        if matches!(outcome, Ok(agent) if !seen.insert(*agent)) {
            *outcome = Err(Error::Raced);
        }
    }
    let agents: Vec<Uuid> = seen.into_iter().collect();
    let new = found(tx, signed, &outcomes).await?;
    let mut subjects = lock(tx, &agents).await?;
    if subjects.values().any(|subject| subject.chain.is_some()) {
        // A chain may have said thousands of things of it.
        plan_afresh(tx).await?;
    }
    // Of who is new nothing is stored, unless contracts spoke of him before.
    let is_known = |id: &&Uuid| {
        let follows = subjects.get(id).is_some_and(|one| one.chain.is_some());
        follows || !new.contains(id)
    };
    let known: Vec<Uuid> = agents.iter().filter(is_known).copied().collect();
    let allowed = decide(tx, signed, &outcomes, known).await?;
    let mut rows = Vec::new();
    let mut refused: HashMap<usize, Error> = HashMap::new();
    for (place, (outcome, allowed)) in outcomes.iter().zip(allowed).enumerate() {
        match (outcome, allowed) {
            (Ok(agent), Some(Ok(allowed))) => rows.push(Row {
                place,
                agent: *agent,
                signed: &signed[place],
                allowed,
            }),
            (_, Some(Err(error))) => {
                refused.insert(place, error);
            }
            _ => {}
        }
    }
    let serials = write(tx, &rows).await?;
    let ids: Vec<AgentId> = rows.iter().map(|row| AgentId(row.agent)).collect();
    if !ids.is_empty() {
        let stated: HashSet<Uuid> = rows.iter().map(|row| row.agent).collect();
        subjects.retain(|id, _| stated.contains(id));
        // Who is busy, or of whom nothing is settled yet, has no new entry now.
        project_stated(tx, subjects, new).await?;
    }
    let mut entries = journal::appended_now(tx, &ids).await?;
    let mut receipts: HashMap<usize, Receipt> = rows
        .iter()
        .zip(serials)
        .map(|(row, serial)| {
            let agent = AgentId(row.agent);
            let entry = entries.remove(&agent);
            (
                row.place,
                Receipt {
                    agent,
                    serial,
                    entry,
                },
            )
        })
        .collect();
    Ok(outcomes
        .into_iter()
        .enumerate()
        .map(|(place, outcome)| match receipts.remove(&place) {
            Some(receipt) => Ok(receipt),
            None => Err(refused
                .remove(&place)
                .or(outcome.err())
                .unwrap_or(Error::Raced)),
        })
        .collect())
}

/// A statement on its way into the table.
struct Row<'a> {
    place: usize,
    agent: Uuid,
    signed: &'a Signed,
    allowed: Allowed,
}

/// The agent of each statement: by the key that registers, else by a verified name.
async fn whom(tx: &mut Tx, signed: &[Signed]) -> Result<Vec<Result<Uuid>>> {
    let registering = |signed: &&Signed| signed.statement.action == Action::Register;
    let founding = signed.iter().filter(registering).filter_map(Signed::key);
    let keys = key::of(tx, &founding.collect::<Vec<_>>()).await?;
    let names = signed.iter().filter(|signed| !registering(signed));
    let names: Vec<&str> = names
        .map(|signed| signed.statement.agent.as_str())
        .collect();
    let found = identifier::by_name(tx, &names).await?;
    Ok(signed
        .iter()
        .map(|signed| {
            let name = &signed.statement.agent;
            if !registering(&signed) {
                let agent = found.get(name).copied();
                return agent.ok_or_else(|| Error::NotFound(name.clone()));
            }
            let key = signed.key().map(did::methods::key::PublicKey::to_bytes);
            let known = key.and_then(|key| keys.get(&key));
            Ok(known.map_or_else(|| AgentId::of_did(name).0, |row| row.agent))
        })
        .collect())
}

/// Makes subjects of the agents that are founded; gives those that there were none of.
async fn found(tx: &mut Tx, signed: &[Signed], agents: &[Result<Uuid>]) -> Result<HashSet<Uuid>> {
    let mut new: Vec<(Uuid, &str)> = signed
        .iter()
        .zip(agents)
        .filter(|(signed, _)| signed.statement.action == Action::Register)
        .filter_map(|(signed, agent)| {
            let agent = agent.as_ref().ok().copied()?;
            let named = AgentId::of_did(&signed.statement.agent).0 == agent;
            named.then_some((agent, signed.statement.agent.as_str()))
        })
        .collect();
    if new.is_empty() {
        return Ok(HashSet::new());
    }
    new.sort_unstable();
    let (ids, dids): (Vec<Uuid>, Vec<&str>) = new.into_iter().unzip();
    let made = sqlx::query_scalar!(
        "INSERT INTO identity.subjects (id, kind, did)
         SELECT id, 'key', did FROM unnest($1::uuid[], $2::text[]) AS t(id, did)
         ON CONFLICT (id) DO NOTHING RETURNING id",
        &ids,
        &dids as &[&str],
    );
    Ok(made.fetch_all(tx.conn()).await?.into_iter().collect())
}

/// Whether each may be recorded; `None` where the agent is not known. Something is stored of those `known` alone.
async fn decide(
    tx: &mut Tx,
    signed: &[Signed],
    agents: &[Result<Uuid>],
    known: Vec<Uuid>,
) -> Result<Vec<Option<Result<Allowed>>>> {
    let claimed =
        |signed: &Signed| authority::claimed(signed).map(|token| AgentId::of_token(token).0);
    let mut wanted = known;
    wanted.extend(signed.iter().filter_map(claimed));
    let standings = standings(tx, &wanted).await?;
    let behind = behind(tx, &standings).await?;
    let signers: Vec<_> = signed.iter().flat_map(Signed::keys).collect();
    let keys = key::of(tx, &signers).await?;
    let used = used_nonces(tx, signed).await?;
    let now = tx.now();
    let none = Standing::default();
    // A key or nonce counts once in this batch, too.
    let (mut given, mut spent) = (HashSet::new(), HashSet::new());
    let mut decided = Vec::with_capacity(signed.len());
    for (signed, agent) in signed.iter().zip(agents) {
        let Ok(agent) = agent else {
            decided.push(None);
            continue;
        };
        if behind.contains(agent) {
            decided.push(Some(Err(Error::Raced)));
            continue;
        }
        let use_of_it = (
            signed.signer().to_string(),
            signed.statement.nonce.0.to_vec(),
        );
        if used.contains(&use_of_it) || !spent.insert(use_of_it) {
            let why = "this nonce was used before by this signer: sign anew";
            decided.push(Some(Err(Error::Conflict(why.to_owned()))));
            continue;
        }
        let of_token = claimed(signed);
        let case = Case {
            signed,
            agent: *agent,
            standing: standings.get(agent).unwrap_or(&none),
            keys: &keys,
            claimed: of_token.and_then(|id| Some((id, standings.get(&id)?))),
            now,
        };
        let mut allowed = case.decide();
        if let Ok(Allowed { key: Some(key), .. }) = &allowed
            && !given.insert(key.to_bytes())
        {
            allowed = Err(Error::Raced);
        }
        decided.push(Some(allowed));
    }
    Ok(decided)
}

/// Whose rows do not show yet who owns them by what was signed, or that they ended: somebody held them
/// when it was recorded. Who speaks for them is known when they are swept. A token's owner is the fold's
/// to judge: his statements name the transfer that they rest on.
async fn behind(tx: &mut Tx, standings: &HashMap<Uuid, Standing>) -> Result<HashSet<Uuid>> {
    let ids: Vec<Uuid> = standings
        .iter()
        .filter(|(_, standing)| standing.exists && standing.token.is_none())
        .map(|(id, _)| *id)
        .collect();
    let waiting = dirty::among(tx, &ids).await?;
    if waiting.is_empty() {
        return Ok(waiting);
    }
    let from: Vec<(Uuid, i64)> = waiting.into_iter().map(|id| (id, 0)).collect();
    let mut said = facts::load(tx, &from).await?;
    said.retain(|id, said| {
        let standing = standings.get(id);
        standing.is_some_and(|standing| !standing.shows(said))
    });
    Ok(said.into_keys().collect())
}

/// What is stored of these agents.
async fn standings(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, Standing>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT s.id AS "id!", coalesce(a.did, s.did) AS "did!",
                  a.id IS NOT NULL AS "exists!", coalesce(a.status_final, false) AS "ended!",
                  a.owner_address, o.owner_chain, t.chain_id AS "chain?", t.owner AS "owner?", t.founding,
                  coalesce(t.burned, false) AS "burned!", l.tx_hash AS "tx?",
                  coalesce(n.sequence, 0) AS "sequence!", greatest(n.at, c.head_time) AS not_before
             FROM unnest($1::uuid[]) AS w(id)
             JOIN identity.subjects s ON s.id = w.id
             LEFT JOIN identity.agents a ON a.id = s.id
             LEFT JOIN identity.tokens t ON t.agent_id = s.id
             LEFT JOIN chain.v_chains c ON c.chain_id = s.chain_id
             LEFT JOIN chain.v_logs l ON l.chain_id = t.chain_id AND l.block_number = t.owner_block
                                     AND l.log_index = t.owner_log
             LEFT JOIN LATERAL (SELECT sequence, at FROM identity.statements
                                 WHERE agent_id = s.id ORDER BY sequence DESC LIMIT 1) n ON true
             LEFT JOIN LATERAL (SELECT changes ->> 'owner_chain' AS owner_chain
                                  FROM identity.statements
                                 WHERE agent_id = s.id AND kind IN ('register', 'transfer')
                                   AND changes ->> 'owner_address' = a.owner_address
                                 ORDER BY serial DESC LIMIT 1) o ON a.owner_address IS NOT NULL"#,
        ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let owner = row
                .owner
                .and_then(|owner| Address::try_from(owner.as_slice()).ok());
            let tx = row.tx.and_then(|tx| B256::try_from(tx.as_slice()).ok());
            let token = row.chain.map(|chain| TokenStanding {
                chain: chain.unsigned_abs(),
                owner,
                founding: row.founding,
                transfer: tx
                    .zip(owner)
                    .map(|(tx, owner)| format!("{tx:#x}/{owner:#x}")),
                burned: row.burned,
            });
            let standing = Standing {
                did: row.did,
                exists: row.exists,
                ended: row.ended,
                owner: row.owner_address.and_then(|owner| owner.parse().ok()),
                owner_chain: row.owner_chain.and_then(|chain| chain.parse().ok()),
                token,
                sequence: row.sequence,
                not_before: row.not_before,
            };
            (row.id, standing)
        })
        .collect())
}

/// Which of the statements' nonces their signers have used.
async fn used_nonces(tx: &mut Tx, signed: &[Signed]) -> Result<HashSet<(String, Vec<u8>)>> {
    let signers: Vec<String> = signed
        .iter()
        .map(|signed| signed.signer().to_string())
        .collect();
    let nonces: Vec<&[u8]> = signed
        .iter()
        .map(|signed| signed.statement.nonce.0.as_slice())
        .collect();
    let rows = sqlx::query!(
        "SELECT signer, nonce FROM identity.statements
          WHERE (signer, nonce) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))",
        &signers,
        &nonces as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.signer, row.nonce))
        .collect())
}

/// Writes keys, statements and claims; gives the statements' serials in the rows' order.
async fn write(tx: &mut Tx, rows: &[Row<'_>]) -> Result<Vec<i64>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys = rows.iter().filter_map(|row| {
        let key = row.allowed.key.as_ref()?.to_bytes();
        Some(NewKey {
            agent: row.agent,
            key,
            since: row.allowed.at,
            replaces: row.signed.statement.action == Action::Rotate,
        })
    });
    if !key::put(tx, &keys.collect::<Vec<_>>()).await? {
        return Err(Error::Raced);
    }
    let serials = insert(tx, rows).await?;
    let claims: Vec<_> = rows
        .iter()
        .zip(&serials)
        .filter_map(|(row, serial)| {
            let claim = row.allowed.claim.clone()?;
            Some(claim::NewClaim {
                statement: *serial,
                ..claim
            })
        })
        .collect();
    claim::put(tx, &claims).await?;
    Ok(serials)
}

async fn insert(tx: &mut Tx, rows: &[Row<'_>]) -> Result<Vec<i64>> {
    let agents: Vec<Uuid> = rows.iter().map(|row| row.agent).collect();
    let kinds: Vec<&str> = rows
        .iter()
        .map(|row| row.signed.statement.action.as_str())
        .collect();
    let at: Vec<_> = rows.iter().map(|row| row.allowed.at).collect();
    let bytes: Vec<Vec<u8>> = rows
        .iter()
        .map(|row| row.signed.statement.key_bytes())
        .collect();
    let signatures: Vec<&[u8]> = rows
        .iter()
        .map(|row| row.signed.signatures[0].bytes.as_slice())
        .collect();
    let signers: Vec<String> = rows
        .iter()
        .map(|row| row.signed.signer().to_string())
        .collect();
    let second = |row: &Row<'_>| {
        row.signed
            .signatures
            .get(1)
            .map(|second| second.by.to_string())
    };
    let cosigners: Vec<Option<String>> = rows.iter().map(second).collect();
    let cosignatures: Vec<Option<&[u8]>> = rows
        .iter()
        .map(|row| {
            row.signed
                .signatures
                .get(1)
                .map(|second| second.bytes.as_slice())
        })
        .collect();
    let nonces: Vec<&[u8]> = rows
        .iter()
        .map(|row| row.signed.statement.nonce.0.as_slice())
        .collect();
    let sequences: Vec<i64> = rows
        .iter()
        .map(|row| row.signed.statement.sequence.cast_signed())
        .collect();
    let changes: Vec<Value> = rows.iter().map(|row| json!(row.allowed.changes)).collect();
    let checked: Vec<Value> = rows.iter().map(|row| row.signed.checked()).collect();
    let foundings: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.allowed.founding.as_deref())
        .collect();
    let transfers: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.allowed.transfer.as_deref())
        .collect();
    let inserted = sqlx::query!(
        "INSERT INTO identity.statements (agent_id, kind, at, bytes, signature, signer, nonce, changes, founding,
                                          transfer, sequence, cosigner, cosignature, checked)
         SELECT agent, kind, at, bytes, signature, signer, nonce, changes, founding, transfer, sequence, cosigner,
                cosignature, checked
           FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bytea[], $5::bytea[], $6::text[], $7::bytea[],
                       $8::jsonb[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::bytea[], $14::jsonb[])
                WITH ORDINALITY AS n(agent, kind, at, bytes, signature, signer, nonce, changes, founding, transfer,
                                     sequence, cosigner, cosignature, checked, place)
          ORDER BY place
         ON CONFLICT DO NOTHING
         RETURNING serial, agent_id",
        &agents,
        &kinds as &[&str],
        &at,
        &bytes,
        &signatures as &[&[u8]],
        &signers,
        &nonces as &[&[u8]],
        &changes,
        &foundings as &[Option<&str>],
        &transfers as &[Option<&str>],
        &sequences,
        &cosigners as &[Option<String>],
        &cosignatures as &[Option<&[u8]>],
        &checked,
    )
    .fetch_all(tx.conn())
    .await?;
    let serials: HashMap<Uuid, i64> = inserted
        .into_iter()
        .map(|row| (row.agent_id, row.serial))
        .collect();
    // A nonce that another process took at this moment: all of it again, and then it is seen.
    let serial = |row: &Row<'_>| serials.get(&row.agent).copied().ok_or(Error::Raced);
    rows.iter().map(serial).collect()
}
