//! What Zynd AgentDNS and DukeNET make of an Ed25519 key: an agent's names, keys derived from a
//! developer's, and the developer's word for them.

use kernel::sha256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use crate::{
    Code, Error,
    ed25519::{self, SecretKey},
    methods::key::PublicKey,
};

/// What ids of agents begin with.
const PREFIXES: [&str; 2] = ["agdns:", "zns:"];
/// Hex digits of a key's hash that they have.
const HALF: usize = 32;

/// DukeNET's id of an agent: SHA-256 of its public key, 64 hex digits. The first half is Zynd's.
pub fn key_hash(key: &PublicKey) -> String {
    hex::encode(sha256(&key.to_bytes()))
}

/// Zynd's ids of an agent, of its first registries and of today: `agdns:<h>`, `zns:<h>`.
pub fn agent_ids(key: &PublicKey) -> [String; 2] {
    ids_of(&key_hash(key)[..HALF])
}

/// The same, by the half of the key's hash.
pub fn ids_of(half: &str) -> [String; 2] {
    PREFIXES.map(|prefix| format!("{prefix}{half}"))
}

/// The half of a key's hash that ids of its agent name; `None` of a text that is no such hash.
pub fn half(key_hash: &str) -> Option<&str> {
    (key_hash.len() == 2 * HALF && is_hex(key_hash)).then(|| &key_hash[..HALF])
}

/// The half of a key's hash that an id of an agent names; `None` of any other text.
pub fn half_of(id: &str) -> Option<&str> {
    let half = PREFIXES.iter().find_map(|prefix| id.strip_prefix(prefix))?;
    (half.len() == HALF && is_hex(half)).then_some(half)
}

fn is_hex(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(is_digit)
}

/// Under which name children are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// `agdns:agent:`, as the first registries had it.
    Seed,
    /// `zns:agent:`, as today's programs have it.
    Current,
}

impl Era {
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Seed => b"agdns:agent:",
            Self::Current => b"zns:agent:",
        }
    }
}

/// The key of a developer's agent number `index`: the first half of
/// SHA-512(developer's seed ‖ domain ‖ index as u32 big endian) is its seed.
pub fn child(developer: &SecretKey, era: Era, index: u32) -> SecretKey {
    let mut hasher = Sha512::new();
    hasher.update(developer.seed());
    hasher.update(era.domain());
    hasher.update(index.to_be_bytes());
    let digest: [u8; 64] = hasher.finalize().into();
    let mut seed = [0; 32];
    seed.copy_from_slice(&digest[..32]);
    SecretKey::from_seed(&seed)
}

/// A developer's word that an agent's key is one of his. It authorises; it does not prove that the
/// key was derived. The names are those of Zynd's code; what its documents call them is read, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeveloperProof {
    /// `ed25519:<base64>`.
    pub developer_public_key: String,
    /// Which of his agents.
    #[serde(alias = "index", alias = "agent_index")]
    pub entity_index: u32,
    /// `ed25519:<base64>` over the agent's key and the index, 36 bytes.
    #[serde(alias = "signature")]
    pub developer_signature: String,
}

impl DeveloperProof {
    /// The developer speaks for `agent`.
    pub fn new(developer: &SecretKey, agent: &PublicKey, index: u32) -> Self {
        let signature = developer.sign(&said(agent, index));
        Self {
            developer_public_key: ed25519::wire(&developer.public()),
            entity_index: index,
            developer_signature: ed25519::signature_wire(&signature),
        }
    }

    /// The developer, if he speaks for `agent`.
    pub fn verify(&self, agent: &PublicKey) -> Result<PublicKey, Error> {
        let developer = ed25519::parse(&self.developer_public_key)?;
        let signature = ed25519::parse_signature(&self.developer_signature)?;
        if ed25519::verify(&developer, &said(agent, self.entity_index), &signature) {
            return Ok(developer);
        }
        let detail = "the developer did not sign this key with this index";
        Err(Error::new(Code::InvalidPublicKey, detail))
    }
}

fn said(agent: &PublicKey, index: u32) -> Vec<u8> {
    let mut bytes = agent.to_bytes();
    bytes.extend(index.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::KeyFile;

    /// Zynd's derivation, computed with Python's cryptography: domain, index, seed, public key, id, the developer's proof.
    const CHILDREN: [(Era, u32, &str, &str, &str, &str); 4] = [
        (
            Era::Current,
            0,
            "314fea309f98c6bb3e296effd21a9b03bce2ff67495ed7b6e5e944962e82fe44",
            "9b042f4e603ef6c4c4ce61277e2c388d1b457f93d93ba980103144154ae9fc2d",
            "7f3214872296f48d652a365c9f637f72",
            "rttB9VeultQ26r72v7iF7bQHyD1ofnU1nzLHu5grBL+QOHZhIx12S/+Eq1zZBwUTD2CLh++4MhQsSpHmP9fcBQ==",
        ),
        (
            Era::Current,
            1,
            "e02528322e6a965f06debc2b5af9f7e9926278d6e3bfc5de4ad609fc3355e00d",
            "4b7a02941c0f7dae3423796255d38c0887d63b2bb1f9d32d73a1f3756d314aea",
            "c05f93041a20967a48616b85df7ada7f",
            "0rfaCzdHOPW9i5Vv/NbhTAfo4/yS3tt/qL11wpinWdI8uIjXMPQly2X3foslecLovqgsKrkazdTi4Nylu+pyBw==",
        ),
        (
            Era::Seed,
            0,
            "3f8628eef4c778ad764a8fbc717752520311625e5947e90acdef268acefbe97f",
            "96d202d02dd7376aabbe7616a0c7a7c0f2b15d1e4d3eecb5474107fefa2e0c3d",
            "45d4ef15a43a696a71a93997f7e76aa5",
            "qolMNIZc5bMXzIPXMnLcRHlm2GyQBVzqnA5Sph07vyRZeSBUX4e2TivJCgAblJIAdoMKI9kvwLH9p//iRtdnCw==",
        ),
        (
            Era::Seed,
            1,
            "915f12cf04d125bef9ad294e191efbe159c24cd2fd9a6ac01c4e061488d0826b",
            "55f4cd53764769012704df829f466b911bd3319e0ebb69273ae134969d8e71c2",
            "bd9ec49b6d6eef04ad3bb209ba157d31",
            "pM2LQvVdbwobvtDt9zwL9wPDQTC4jPmRVGzKW0AnjNewp4qkoweOqufTmQoqaI07A0aZd9U1ISaOY1WdZd4KBw==",
        ),
    ];

    fn developer() -> SecretKey {
        let mut seed = [0; 32];
        for (place, byte) in (0..).zip(seed.iter_mut()) {
            *byte = place;
        }
        SecretKey::from_seed(&seed)
    }

    #[test]
    fn a_developers_key_and_id() {
        let key = developer().public();
        assert_eq!(
            hex::encode(key.to_bytes()),
            "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
        );
        assert_eq!(
            ed25519::wire(&key),
            "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
        );
        assert_eq!(&key_hash(&key)[..32], "56475aa75463474c0285df5dbf2bcab7");
    }

    #[test]
    fn children_of_both_eras_and_what_the_developer_says_of_them() {
        let developer = developer();
        for (era, index, seed, public, id, proof) in CHILDREN {
            let child = child(&developer, era, index);
            assert_eq!(hex::encode(child.seed()), seed);
            let key = child.public();
            assert_eq!(hex::encode(key.to_bytes()), public);
            assert_eq!(
                agent_ids(&key),
                [format!("agdns:{id}"), format!("zns:{id}")]
            );
            let said = DeveloperProof::new(&developer, &key, index);
            assert_eq!(said.developer_signature, format!("ed25519:{proof}"));
            assert_eq!(said.verify(&key).expect("his"), developer.public());
            let other = DeveloperProof {
                entity_index: index + 1,
                ..said
            };
            assert!(other.verify(&key).is_err());
        }
    }

    #[test]
    fn dukenets_id_begins_with_zynds() {
        let key = child(&developer(), Era::Current, 0).public();
        let hash = "7f3214872296f48d652a365c9f637f72114e7139ad6eac270e8bc9399ae59d02";
        assert_eq!(key_hash(&key), hash);
        assert!(agent_ids(&key)[1].ends_with(&hash[..32]));
        let half = half(hash).expect("a hash");
        for id in agent_ids(&key) {
            assert_eq!(half_of(&id), Some(half));
            for wrong in [&id[1..], &id[..id.len() - 1], &id.to_uppercase()] {
                assert_eq!(half_of(wrong), None, "{wrong}");
            }
        }
    }

    #[test]
    fn a_proof_is_read_under_the_names_of_code_and_documents() {
        let developer = developer();
        let key = child(&developer, Era::Seed, 1).public();
        let said = DeveloperProof::new(&developer, &key, 1);
        let (public, signature) = (&said.developer_public_key, &said.developer_signature);
        for text in [
            serde_json::to_string(&said).expect("json"),
            format!(
                r#"{{"developer_public_key":"{public}","agent_public_key":"x","index":1,"signature":"{signature}"}}"#
            ),
            format!(
                r#"{{"developer_public_key":"{public}","agent_index":1,"signature":"{signature}"}}"#
            ),
        ] {
            let read: DeveloperProof = serde_json::from_str(&text).expect("read");
            assert_eq!(read, said);
        }
        let negative = r#"{"developer_public_key":"","index":-1,"signature":""}"#;
        assert!(serde_json::from_str::<DeveloperProof>(negative).is_err());
    }

    /// Zynd's registration and heartbeat.
    #[test]
    fn zynds_signatures_are_ours() {
        let key = child(&developer(), Era::Current, 0);
        let heartbeat = key.sign(b"2026-04-01T00:00:00Z");
        assert_eq!(
            ed25519::signature_wire(&heartbeat),
            "ed25519:8HfZSub+9inBH8/h/XOGtmoDa3R7WjSDc/adQ7W+1u3qonjHR+mhNLsbp7AdnSCpC68ZzN39s8dAkspcvxNYBg=="
        );
        let file = serde_json::to_string(&KeyFile::of(&key, None)).expect("json");
        assert_eq!(KeyFile::parse(&file).expect("read").public(), key.public());
    }
}
