//! What VEXEL's contracts say: kept by the DID's hash, or by the address that it names, and found by the agent whose DID
//! becomes known, whichever comes first (`model.md` §1, §4).
//!
//! A hash is a row that whoever stores a log and whoever learns a DID both lock before they read: one of them sees what
//! the other wrote. Hashes are locked before subjects, and each of them in one order.

mod list;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chain::vexel::Vexel;
use kernel::{Address, AgentId, B256, keccak256};
use store::Tx;
use uuid::Uuid;

pub use list::{Event, Filter, list};

use crate::{Result, dirty};

/// Where a log stands: block number and log index.
pub type Position = (i64, i32);

/// Keeps where logs of a chain stand and whom they name, and founds the agents that they register. Gives the agents
/// that they are about.
pub async fn record(tx: &mut Tx, chain: u64, said: &[(Position, Vexel)]) -> Result<Vec<Uuid>> {
    if said.is_empty() {
        return Ok(Vec::new());
    }
    put(tx, chain, said).await?;
    let mut hashes: BTreeSet<B256> = said.iter().filter_map(|(_, word)| word.hash()).collect();
    let mut founded: BTreeMap<Uuid, (String, BTreeSet<B256>)> = BTreeMap::new();
    for (_, word) in said {
        if let Vexel::Registered { did, owner, .. } = word
            && did::Did::parse(did).is_ok()
            && founds(did, *owner, chain)
        {
            let plain = lower(did);
            let mine: BTreeSet<B256> = forms(did).map(|form| keccak256(form.as_bytes())).collect();
            hashes.extend(&mine);
            let agent = AgentId::of_did(&plain).0;
            founded
                .entry(agent)
                .or_insert((plain, BTreeSet::new()))
                .1
                .extend(mine);
        }
    }
    let known = lock(tx, &hashes).await?;
    let dids: Vec<&str> = founded.values().map(|(did, _)| did.as_str()).collect();
    let holders = holders(tx, &dids).await?;
    for (agent, (did, mine)) in founded {
        let is_free = |hash: &B256| known.get(hash).copied().flatten().is_none();
        if !mine.iter().all(is_free) {
            continue;
        }
        // An agent of this DID may be there already, under whichever id, and not have been learned yet.
        if let Some(holder) = holders.get(&did) {
            give(tx, *holder, &mine).await?;
        } else {
            found(tx, chain, agent, &did).await?;
            give(tx, agent, &mine).await?;
        }
    }
    among(tx, &hashes).await
}

async fn put(tx: &mut Tx, chain: u64, said: &[(Position, Vexel)]) -> Result<()> {
    let blocks: Vec<i64> = said.iter().map(|((block, _), _)| *block).collect();
    let logs: Vec<i32> = said.iter().map(|((_, log), _)| *log).collect();
    let bytes = |of: fn(&Vexel) -> Option<Vec<u8>>| said.iter().map(|(_, word)| of(word)).collect();
    let hashes: Vec<Option<Vec<u8>>> = bytes(|word| word.hash().map(|hash| hash.to_vec()));
    let accounts: Vec<Option<Vec<u8>>> =
        bytes(|word| word.account().map(|account| account.to_vec()));
    sqlx::query!(
        "INSERT INTO identity.did_logs (chain_id, block_number, log_index, hash, account)
         SELECT $1, * FROM unnest($2::bigint[], $3::int[], $4::bytea[], $5::bytea[])
         ON CONFLICT DO NOTHING",
        chain.cast_signed(),
        &blocks,
        &logs,
        &hashes as &[Option<Vec<u8>>],
        &accounts as &[Option<Vec<u8>>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes sure that hashes have their rows, and locks them in one order. Gives whose they are.
async fn lock(tx: &mut Tx, hashes: &BTreeSet<B256>) -> Result<BTreeMap<B256, Option<Uuid>>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(B256::as_slice).collect();
    sqlx::query!(
        "INSERT INTO identity.did_hashes (hash) SELECT hash FROM unnest($1::bytea[]) AS h(hash) ORDER BY hash
         ON CONFLICT DO NOTHING",
        &hashes as &[&[u8]],
    )
    .execute(tx.conn())
    .await?;
    let rows = sqlx::query!(
        "SELECT hash, agent_id FROM identity.did_hashes WHERE hash = ANY($1) ORDER BY hash FOR UPDATE",
        &hashes as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?;
    let row = |hash: Vec<u8>| B256::try_from(hash.as_slice()).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|found| (row(found.hash), found.agent_id))
        .collect())
}

/// Gives hashes that are nobody's to an agent.
async fn give(tx: &mut Tx, agent: Uuid, hashes: &BTreeSet<B256>) -> Result<()> {
    let hashes: Vec<&[u8]> = hashes.iter().map(B256::as_slice).collect();
    sqlx::query!(
        "UPDATE identity.did_hashes SET agent_id = $1 WHERE hash = ANY($2) AND agent_id IS NULL",
        agent,
        &hashes as &[&[u8]],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn found(tx: &mut Tx, chain: u64, agent: Uuid, did: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO identity.subjects (id, kind, chain_id, did) VALUES ($1, 'did', $2, $3) ON CONFLICT DO NOTHING",
        agent,
        chain.cast_signed(),
        did,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which agents have these DIDs.
async fn holders(tx: &mut Tx, dids: &[&str]) -> Result<BTreeMap<String, Uuid>> {
    if dids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!(
        "SELECT did, id FROM identity.agents WHERE did = ANY($1::text[])",
        dids as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.did, row.id)).collect())
}

/// Whose these hashes are.
async fn among(tx: &mut Tx, hashes: &BTreeSet<B256>) -> Result<Vec<Uuid>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(B256::as_slice).collect();
    Ok(sqlx::query_scalar!(
        r#"SELECT DISTINCT agent_id AS "agent!" FROM identity.did_hashes
            WHERE hash = ANY($1) AND agent_id IS NOT NULL"#,
        &hashes as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Forgets what blocks above `to` said.
pub async fn rewind(tx: &mut Tx, chain: u64, to: i64) -> Result<()> {
    sqlx::query!(
        "DELETE FROM identity.did_logs WHERE chain_id = $1 AND block_number > $2",
        chain.cast_signed(),
        to
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets what some blocks said: they are read again.
pub async fn forget_blocks(tx: &mut Tx, chain: u64, blocks: &[i64]) -> Result<()> {
    sqlx::query!(
        "DELETE FROM identity.did_logs WHERE chain_id = $1 AND block_number = ANY($2)",
        chain.cast_signed(),
        blocks
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Agents that logs of a range are about.
pub async fn subjects(tx: &mut Tx, chain: u64, above: i64, up_to: i64) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT DISTINCT h.agent_id AS "agent!"
             FROM identity.did_logs d JOIN identity.did_hashes h ON h.hash = d.hash
            WHERE d.chain_id = $1 AND d.block_number > $2 AND d.block_number <= $3 AND h.agent_id IS NOT NULL"#,
        chain.cast_signed(),
        above,
        up_to,
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Leaves the agents that logs of a range are about to the sweep: a window is projected from memory, without these.
pub async fn mark(tx: &mut Tx, chain: u64, above: i64, up_to: i64) -> Result<()> {
    let agents = subjects(tx, chain, above, up_to).await?;
    if agents.is_empty() {
        return Ok(());
    }
    dirty::mark(tx, &agents.into_iter().collect(), true).await
}

/// Whether any chain's contracts of VEXEL are read at all: else nobody's DID need be hashed.
pub(crate) async fn is_read(tx: &mut Tx) -> Result<bool> {
    let read = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM chain.v_contracts WHERE kind = 'vexel') AS "read!""#
    );
    Ok(read.fetch_one(tx.conn()).await?)
}

/// Marks all agents that have no token, so that their DIDs are learned: the first contract of VEXEL is read from now on.
pub async fn catch_up(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "INSERT INTO identity.dirty (agent_id, refold)
         SELECT id, true FROM identity.subjects WHERE kind <> 'token'"
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Learns the DIDs of agents before they are projected; of two agents that have one, it is that of the first. Gives those
/// of whom a contract spoke before: they are folded from their first fact.
pub(crate) async fn learn(tx: &mut Tx, dids: &[(Uuid, String)]) -> Result<HashSet<Uuid>> {
    let mut wanted: BTreeMap<Uuid, BTreeSet<B256>> = BTreeMap::new();
    let mut taken = HashSet::new();
    for (agent, did) in dids {
        let hashes = forms(did).map(|form| keccak256(form.as_bytes()));
        let free = hashes.filter(|hash| taken.insert(*hash));
        wanted.entry(*agent).or_default().extend(free);
    }
    let all: BTreeSet<B256> = wanted.values().flatten().copied().collect();
    let known = known(tx, &all).await?;
    wanted.retain(|_, hashes| hashes.iter().any(|hash| !known.contains(hash)));
    if wanted.is_empty() {
        return Ok(HashSet::new());
    }
    let missing: BTreeSet<B256> = wanted.values().flatten().copied().collect();
    lock(tx, &missing).await?;
    let (mut agents, mut hashes) = (Vec::new(), Vec::new());
    for (agent, of) in &wanted {
        for hash in of {
            agents.push(*agent);
            hashes.push(hash.as_slice());
        }
    }
    sqlx::query!(
        "UPDATE identity.did_hashes h SET agent_id = w.agent
           FROM unnest($1::uuid[], $2::bytea[]) AS w(agent, hash) WHERE h.hash = w.hash AND h.agent_id IS NULL",
        &agents,
        &hashes as &[&[u8]],
    )
    .execute(tx.conn())
    .await?;
    let spoken_of = sqlx::query_scalar!(
        r#"SELECT DISTINCT h.agent_id AS "agent!"
             FROM identity.did_hashes h JOIN identity.did_logs d ON d.hash = h.hash
            WHERE h.agent_id = ANY($1)"#,
        &agents,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(spoken_of.into_iter().collect())
}

/// Which of these hashes are somebody's.
async fn known(tx: &mut Tx, hashes: &BTreeSet<B256>) -> Result<HashSet<B256>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(B256::as_slice).collect();
    let rows = sqlx::query_scalar!(
        "SELECT hash FROM identity.did_hashes WHERE hash = ANY($1) AND agent_id IS NOT NULL",
        &hashes as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .iter()
        .filter_map(|hash| B256::try_from(hash.as_slice()).ok())
        .collect())
}

/// What the agents of these ids were ever called, as far as they have no token: by whoever founded them, by plain SQL and
/// by rotations of their keys, whatever their rows show now. In the order in which it was said, so that of two that have
/// one DID the same one is first in every index.
pub(crate) async fn dids_of(tx: &mut Tx, agents: &[Uuid]) -> Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!(
        r#"SELECT n.id AS "id!", n.did AS "did!"
             FROM (SELECT s.id, s.did, NULL::bigint AS serial FROM identity.subjects s WHERE s.id = ANY($1)
                   UNION ALL
                   SELECT c.agent_id, c.changes ->> 'did', c.serial FROM identity.acts c
                    WHERE c.agent_id = ANY($1) AND c.kind IN ('insert', 'update') AND c.changes ? 'did'
                   UNION ALL
                   SELECT t.agent_id, t.changes ->> 'did', t.serial FROM identity.statements t
                    WHERE t.agent_id = ANY($1) AND t.kind = 'rotate' AND t.changes ? 'did') n
            ORDER BY n.serial NULLS LAST, n.id"#,
        agents
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.did)).collect())
}

/// Writes which logs could speak for their agent.
pub(crate) async fn attribute(tx: &mut Tx, heard: &BTreeMap<(u64, Position), bool>) -> Result<()> {
    if heard.is_empty() {
        return Ok(());
    }
    let chains: Vec<i64> = heard.keys().map(|(chain, _)| chain.cast_signed()).collect();
    let blocks: Vec<i64> = heard.keys().map(|(_, (block, _))| *block).collect();
    let logs: Vec<i32> = heard.keys().map(|(_, (_, log))| *log).collect();
    let speaks: Vec<bool> = heard.values().copied().collect();
    sqlx::query!(
        "UPDATE identity.did_logs d SET attributed = w.speaks
           FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bool[]) AS w(chain, block, log, speaks)
          WHERE d.chain_id = w.chain AND d.block_number = w.block AND d.log_index = w.log
            AND d.attributed <> w.speaks",
        &chains,
        &blocks,
        &logs,
        &speaks,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a contract on `chain` may found the agent of a DID for this owner. Tokens, keys and domains have registers of
/// their own, and a DID that names an account is that account's alone.
pub(crate) fn founds(did: &str, owner: Address, chain: u64) -> bool {
    let of = |methods: &[&str]| methods.iter().any(|method| did.starts_with(method));
    match address(did) {
        _ if of(&["did:nft:", "did:key:", "did:web:"]) => false,
        Some((at, named)) => named == owner && is_on(&did[..at], chain),
        // These name an account in another way, or one of another kind of chain.
        None => !of(&["did:ethr:", "did:pkh:"]),
    }
}

/// Whether an account is one of this chain, by what stands before its address. A contract that has the address on another
/// chain may be somebody else's. did:vexel names no chain.
fn is_on(before: &str, chain: u64) -> bool {
    if let Some(named) = before.strip_prefix("did:pkh:") {
        return named == format!("eip155:{chain}:");
    }
    match before.strip_prefix("did:ethr:") {
        None => true,
        // Mainnet is meant where no network is named (ERC-1056's method).
        Some("" | "mainnet:") => chain == 1,
        Some(named) => named.eq_ignore_ascii_case(&format!("{chain:#x}:")),
    }
}

/// A DID with its addresses in lower case, as rows keep it.
pub(crate) fn lower(did: &str) -> String {
    match address(did) {
        Some((at, account)) => format!("{}{account:#x}{}", &did[..at], &did[at + 42..]),
        None => did.to_owned(),
    }
}

/// The account that a `did:vexel` is of.
pub(crate) fn account(did: &str) -> Option<Address> {
    did.strip_prefix("did:vexel:")?.parse().ok()
}

/// The forms of a DID that a contract may have hashed: as it is given, with its address in lower case, and in EIP-55.
fn forms(did: &str) -> impl Iterator<Item = String> + use<> {
    let mut forms = BTreeSet::from([did.to_owned()]);
    if let Some((at, account)) = address(did) {
        let (before, after) = (&did[..at], &did[at + 42..]);
        forms.insert(format!("{before}{account:#x}{after}"));
        forms.insert(format!("{before}{account}{after}"));
    }
    forms.into_iter()
}

/// The first address in a DID, and where it stands.
fn address(did: &str) -> Option<(usize, Address)> {
    let starts = did.match_indices("0x").chain(did.match_indices("0X"));
    starts
        .filter_map(|(at, _)| {
            let text = did.get(at..at + 42)?;
            let digits = text.get(2..)?;
            let whole = !did[at + 42..].starts_with(|c: char| c.is_ascii_hexdigit());
            let account = format!("0x{}", digits.to_ascii_lowercase()).parse().ok()?;
            whole.then_some((at, account))
        })
        .min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_that_names_an_account_is_founded_for_it_alone() {
        let text = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let alice: Address = text.parse().expect("an address");
        let bob = Address::repeat_byte(0xbb);
        for did in [
            format!("did:vexel:{text}"),
            format!("did:vexel:{}", text.to_ascii_lowercase()),
            format!("did:vexel:0X{}", text[2..].to_ascii_uppercase()),
            format!("did:ethr:{text}"),
            format!("did:ethr:0x1:{text}"),
            format!("did:pkh:eip155:1:{text}"),
        ] {
            assert!(founds(&did, alice, 1) && !founds(&did, bob, 1), "{did}");
        }
        for (did, chain) in [
            (format!("did:vexel:{text}"), 7),
            (format!("did:pkh:eip155:8453:{text}"), 8_453),
            (format!("did:ethr:0xA4B1:{text}"), 42_161),
            (format!("did:ethr:mainnet:{text}"), 1),
        ] {
            assert!(founds(&did, alice, chain), "{did}");
        }
        // The same address on another chain, or on one that is none of Ethereum's.
        for did in [
            format!("did:pkh:eip155:1:{text}"),
            format!("did:pkh:eip155:07:{text}"),
            format!("did:pkh:other:7:{text}"),
            format!("did:pkh:{text}"),
            format!("did:ethr:{text}"),
            format!("did:ethr:0x1:{text}"),
            format!("did:ethr:sepolia:{text}"),
        ] {
            assert!(!founds(&did, alice, 7), "{did}");
        }
        for did in ["did:vexel:agent1", "did:example:1", "did:vexel:0xf39f"] {
            assert!(founds(did, alice, 1) && founds(did, bob, 1), "{did}");
        }
        for did in [
            "did:web:example.com",
            &format!("did:web:example.com:{text}"),
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
            &format!("did:nft:eip155:1_erc721:{text}_1"),
            // An account by its key, and one that no contract here can be called by.
            "did:ethr:0x02b97c30de767f084ce3080168ee293053ba33b235d7116a3263d29f1450936b71",
            "did:pkh:solana:4sGjMW1sUnHzSxGspuhpqLDx6wiyjNtZ:CKg5d12Jhpej1JqtmxLJgaFqqeYjxgPqToJ4LBdvG9Ev",
        ] {
            assert!(!founds(did, alice, 1), "{did}");
        }
    }

    #[test]
    fn a_did_is_known_by_the_hashes_of_its_forms() {
        let hashes = |did: &str| -> BTreeSet<B256> {
            forms(did).map(|form| keccak256(form.as_bytes())).collect()
        };
        let plain = hashes("did:vexel:my-agent");
        let expected = "0928410972559d2cb1c3911a5a2f27826a67106528fbc672ace7dbc123acb06d";
        assert_eq!(
            plain.iter().map(hex::encode).collect::<Vec<_>>(),
            [expected]
        );
        let (eip55, lower_case) = (
            "did:vexel:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "did:vexel:0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        );
        assert_eq!(hashes(eip55), hashes(lower_case));
        assert_eq!(hashes(eip55).len(), 2);
        let shouted = "did:vexel:0XF39FD6E51AAD88F6F4CE6AB8827279CFFFB92266";
        assert_eq!(hashes(shouted).len(), 3, "as it was given, too");
        assert_eq!(lower(shouted), lower_case);
        assert_eq!(lower("did:x:0xf39"), "did:x:0xf39");
        assert_eq!(account(eip55), lower_case[10..].parse().ok());
        assert_eq!(
            account("did:ethr:0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
            None
        );
    }
}
