//! What an agent signs when it beats, and checking it. Pure.

use std::mem;

use base64::{Engine, engine::general_purpose::STANDARD};
use chain::{contract_signature, typed};
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use kernel::Address;

use super::{Beat, Refusal, SKEW, speakers::Speakers};
use crate::identifier;

/// Which bytes are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Zynd's: the UTF-8 bytes of the timestamp alone. Any registry that follows the agent would take it. Keys alone sign
    /// it.
    #[default]
    Zynd,
    /// Ours: [`own_message`], for one agent at one office.
    Own,
}

/// The text of our own form: what it is, for which office (the journal's origin), of which agent (its DID), when. A key
/// signs its bytes, a wallet signs it as a message for people (EIP-191).
pub fn own_message(office: &str, did: &str, timestamp: &str) -> String {
    format!("chancery heartbeat v1\n{office}\n{did}\n{timestamp}")
}

/// The longest timestamp: RFC 3339 to the nanosecond, with an offset.
const LONGEST_TIME: usize = 35;

/// The longest signature, an account's, with room for nothing.
const LONGEST_SIGNATURE: usize = 2 + 2 * 65;

/// A beat that was read: whose it is and what it says, or why it is none. Whatever was sent, it is small: many of them
/// wait at once.
#[derive(Debug)]
pub struct Heard(pub(super) Result<(String, Message), Refusal>);

impl Heard {
    /// The most bytes that one takes.
    pub const MOST_BYTES: usize = size_of::<Self>() + identifier::LONGEST + LONGEST_TIME;

    /// Reads a beat that came now, by our clock.
    pub fn read(mut beat: Beat, now: DateTime<Utc>) -> Self {
        if beat.agent.len() > identifier::LONGEST {
            let why = "no name of an agent has more than 1024 bytes";
            return Self(Err(Refusal::Malformed(why)));
        }
        let agent = mem::take(&mut beat.agent);
        Self(Message::read(beat, now).map(|message| (agent, message)))
    }
}

/// A beat whose fields are what they should be.
#[derive(Debug)]
pub(super) struct Message {
    pub at: DateTime<Utc>,
    timestamp: String,
    signature: Signed,
    form: Form,
}

/// A signature as it came.
#[derive(Debug, Clone, Copy)]
enum Signed {
    ByKey(Signature),
    /// By the key of an account: r, s and v.
    ByAccount([u8; 65]),
}

/// A signature that is still to be checked.
pub(super) struct Check {
    message: String,
    by: By,
}

/// Whose it should be.
enum By {
    Key(Vec<VerifyingKey>, Signature),
    Account(Vec<Address>, [u8; 65]),
}

impl Message {
    /// Reads the fields; `now` is our clock.
    pub fn read(beat: Beat, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let at = time(&beat.timestamp).ok_or(Refusal::Malformed(
            "the timestamp is no time in RFC 3339, such as 2026-04-01T00:00:00Z",
        ))?;
        let off = at - now;
        if off.abs() > SKEW {
            return Err(Refusal::Skewed(off.num_seconds()));
        }
        let signature = signature(&beat.signature).ok_or(Refusal::Malformed(
            "the signature is neither `ed25519:` and base64 of 64 bytes, nor `0x` and hex of 65 bytes by a wallet",
        ))?;
        if matches!((signature, beat.form), (Signed::ByAccount(_), Form::Zynd)) {
            let why = "a wallet signs the form `chancery`: the timestamp alone is what keys sign";
            return Err(Refusal::Malformed(why));
        }
        Ok(Self {
            at,
            signature,
            timestamp: beat.timestamp,
            form: beat.form,
        })
    }

    /// What is to be checked, by those who may speak for the agent. Refused where nobody could have signed so.
    pub fn check(self, speakers: &Speakers, office: &str, did: &str) -> Result<Check, Refusal> {
        let by = match self.signature {
            Signed::ByKey(_) if speakers.keys.is_empty() => return Err(Refusal::NoKey),
            Signed::ByKey(signature) => {
                let key =
                    |key: &Vec<u8>| VerifyingKey::from_bytes(key.as_slice().try_into().ok()?).ok();
                By::Key(speakers.keys.iter().filter_map(key).collect(), signature)
            }
            Signed::ByAccount(_) if speakers.accounts.is_empty() => return Err(Refusal::NoAccount),
            Signed::ByAccount(signature) => By::Account(speakers.accounts.clone(), signature),
        };
        let message = match self.form {
            Form::Zynd => self.timestamp,
            Form::Own => own_message(office, did, &self.timestamp),
        };
        Ok(Check { message, by })
    }
}

impl Check {
    /// Whether it is. Strict: one message has one signature, and keys of small order sign nothing.
    pub fn holds(&self) -> bool {
        let message = self.message.as_bytes();
        match &self.by {
            By::Key(keys, signature) => {
                let mut keys = keys.iter();
                keys.any(|key| key.verify_strict(message, signature).is_ok())
            }
            By::Account(accounts, signature) => {
                let signer = contract_signature::recover(typed::personal(message), signature);
                signer.is_ok_and(|signer| accounts.contains(&signer))
            }
        }
    }
}

/// To the microsecond, as the database keeps it.
fn time(text: &str) -> Option<DateTime<Utc>> {
    if text.len() > LONGEST_TIME {
        return None;
    }
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    DateTime::from_timestamp_micros(at.timestamp_micros())
}

fn signature(text: &str) -> Option<Signed> {
    if text.len() > LONGEST_SIGNATURE {
        return None;
    }
    if let Some(text) = text.strip_prefix("0x") {
        let mut bytes = [0; 65];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        return Some(Signed::ByAccount(bytes));
    }
    let bytes = STANDARD.decode(text.strip_prefix("ed25519:")?).ok()?;
    Signature::from_slice(&bytes).ok().map(Signed::ByKey)
}

#[cfg(test)]
mod tests {
    use chain::PrivateKeySigner;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    /// `zns:agent:` child 0 of the developer seed 00..1f (computed with Python's cryptography).
    const KEY: &str = "9b042f4e603ef6c4c4ce61277e2c388d1b457f93d93ba980103144154ae9fc2d";
    const AT: &str = "2026-04-01T00:00:00Z";
    const SIGNATURE: &str = "ed25519:8HfZSub+9inBH8/h/XOGtmoDa3R7WjSDc/adQ7W+1u3qonjHR+mhNLsbp7AdnSCpC68ZzN39s8dAkspcvxNYBg==";

    fn beat(timestamp: &str, signature: &str, form: Form) -> Beat {
        Beat {
            agent: "did:key:x".to_owned(),
            timestamp: timestamp.to_owned(),
            signature: signature.to_owned(),
            form,
        }
    }

    fn holds(beat: Beat, key: &[u8]) -> Result<bool, Refusal> {
        let keys = vec![key.to_vec()];
        let accounts = Vec::new();
        holds_of(beat, &Speakers { keys, accounts })
    }

    fn holds_of(beat: Beat, speakers: &Speakers) -> Result<bool, Refusal> {
        let now = time(AT).expect("a time");
        let message = Message::read(beat, now)?;
        let check = message.check(speakers, "office.example", "did:key:x")?;
        Ok(check.holds())
    }

    #[test]
    fn zynds_vector_holds_for_its_key_and_time_alone() {
        let key = hex::decode(KEY).expect("hex");
        assert_eq!(holds(beat(AT, SIGNATURE, Form::Zynd), &key), Ok(true));
        assert_eq!(holds(beat(AT, SIGNATURE, Form::Own), &key), Ok(false));
        // The same moment in other words is another message.
        let other = "2026-04-01T00:00:00.0Z";
        assert_eq!(holds(beat(other, SIGNATURE, Form::Zynd), &key), Ok(false));
        assert_eq!(holds(beat(AT, SIGNATURE, Form::Zynd), &[2; 32]), Ok(false));
        assert_eq!(holds(beat(AT, SIGNATURE, Form::Zynd), &key[1..]), Ok(false));
    }

    #[test]
    fn our_form_covers_office_and_agent() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let sign = |office: &str, did: &str| {
            let signature = key.sign(own_message(office, did, AT).as_bytes());
            format!("ed25519:{}", STANDARD.encode(signature.to_bytes()))
        };
        let public = key.verifying_key().to_bytes();
        for (office, did, expected) in [
            ("office.example", "did:key:x", true),
            ("other.example", "did:key:x", false),
            ("office.example", "did:key:y", false),
        ] {
            let beat = beat(AT, &sign(office, did), Form::Own);
            assert_eq!(holds(beat, &public), Ok(expected), "{office} {did}");
        }
    }

    #[test]
    fn a_wallet_signs_our_form_for_itself_alone() {
        let wallet = PrivateKeySigner::from_slice(&[7; 32]).expect("a key");
        let other = PrivateKeySigner::from_slice(&[8; 32]).expect("a key");
        let message = own_message("office.example", "did:key:x", AT);
        let sign = |signer: &PrivateKeySigner, message: &str| {
            let digest = typed::personal(message.as_bytes());
            chain::key::sign(signer, digest).expect("signed")
        };
        let of = |accounts: Vec<Address>| Speakers {
            keys: vec![vec![2; 32]],
            accounts,
        };
        let (owner, both) = (
            of(vec![other.address()]),
            of(vec![other.address(), wallet.address()]),
        );
        let signed = sign(&wallet, &message);
        let text = format!("0x{}", hex::encode(&signed));
        let ours = || beat(AT, &text, Form::Own);
        assert_eq!(holds_of(ours(), &both), Ok(true));
        assert_eq!(holds_of(ours(), &owner), Ok(false));
        assert_eq!(holds_of(ours(), &of(Vec::new())), Err(Refusal::NoAccount));
        let alone = beat(AT, &text, Form::Zynd);
        let refused = holds_of(alone, &both);
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{refused:?}");
        // Another office, or agent, and what is no message for people.
        let elsewhere = own_message("other.example", "did:key:x", AT);
        let elsewhere = sign(&wallet, &elsewhere);
        let raw = chain::key::sign(&wallet, kernel::keccak256(message.as_bytes())).expect("signed");
        for (signature, why) in [
            (elsewhere, "another office"),
            (raw, "no message for people"),
        ] {
            let text = format!("0x{}", hex::encode(signature));
            assert_eq!(
                holds_of(beat(AT, &text, Form::Own), &both),
                Ok(false),
                "{why}"
            );
        }
        // The one with the higher s is of the same key, and no signature.
        let mut high = signed.clone();
        let s = kernel::U256::from_be_slice(&signed[32..64]);
        high[32..64].copy_from_slice(&(order() - s).to_be_bytes::<32>());
        high[64] = 27 + 28 - high[64];
        let text = format!("0x{}", hex::encode(high));
        assert_eq!(holds_of(beat(AT, &text, Form::Own), &both), Ok(false));
        for wrong in [
            &text[..130],
            "0x",
            &format!("{text}00"),
            &text.replace("0x", "0X"),
        ] {
            let refused = holds_of(beat(AT, wrong, Form::Own), &both);
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{wrong}");
        }
    }

    /// Of secp256k1.
    fn order() -> kernel::U256 {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        kernel::U256::from_str_radix(order, 16).expect("a number")
    }

    #[test]
    fn any_key_in_force_will_do_and_without_one_there_is_nothing_to_check() {
        let key = hex::decode(KEY).expect("hex");
        let of = |keys: Vec<Vec<u8>>| Speakers {
            keys,
            accounts: vec![Address::ZERO],
        };
        let ours = || beat(AT, SIGNATURE, Form::Zynd);
        let one_of = of(vec![vec![2; 32], key]);
        assert_eq!(holds_of(ours(), &one_of), Ok(true));
        assert_eq!(holds_of(ours(), &of(Vec::new())), Err(Refusal::NoKey));
    }

    /// A key of small order would take one signature for every message.
    #[test]
    fn weak_keys_sign_nothing() {
        let mut weak = [0; 32];
        weak[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let signature = format!("ed25519:{}", STANDARD.encode(signature));
        assert_eq!(holds(beat(AT, &signature, Form::Zynd), &weak), Ok(false));
    }

    #[test]
    fn times_far_from_ours_and_fields_that_are_none_are_refused() {
        let key = hex::decode(KEY).expect("hex");
        for (timestamp, seconds) in [("2026-04-01T00:01:01Z", 61), ("2026-03-31T23:58:59Z", -61)] {
            let refused = holds(beat(timestamp, SIGNATURE, Form::Zynd), &key);
            assert_eq!(refused, Err(Refusal::Skewed(seconds)));
        }
        let no_prefix = &SIGNATURE[8..];
        let short = &SIGNATURE[..SIGNATURE.len() - 4];
        let padded = format!("{SIGNATURE}====");
        for (timestamp, signature) in [
            ("", SIGNATURE),
            ("yesterday", SIGNATURE),
            ("1774915200", SIGNATURE),
            (AT, ""),
            (AT, no_prefix),
            (AT, short),
            (AT, &padded),
        ] {
            let refused = holds(beat(timestamp, signature, Form::Zynd), &key);
            assert!(
                matches!(refused, Err(Refusal::Malformed(_))),
                "{timestamp} {signature}"
            );
        }
    }

    #[test]
    fn what_waits_is_small_whatever_was_sent() {
        let now = time(AT).expect("a time");
        let long = "1".repeat(1 << 20);
        let good = beat(AT, SIGNATURE, Form::Zynd);
        let long_named = Beat {
            agent: long.clone(),
            ..good.clone()
        };
        for one in [
            long_named,
            beat(&long, SIGNATURE, Form::Zynd),
            beat(AT, &long, Form::Zynd),
        ] {
            let heard = Heard::read(one, now);
            assert!(matches!(heard.0, Err(Refusal::Malformed(_))), "{heard:?}");
        }
        let longest = Beat {
            agent: "a".repeat(identifier::LONGEST),
            ..good
        };
        let (agent, message) = Heard::read(longest, now).0.expect("a beat");
        let apart = agent.capacity() + message.timestamp.capacity();
        assert!(size_of::<Heard>() + apart <= Heard::MOST_BYTES);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(timestamp in ".{0,40}", signature in ".{0,120}") {
            let _ = holds(beat(&timestamp, &signature, Form::Own), &[1; 32]);
        }
    }
}
