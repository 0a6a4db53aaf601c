//! What an agent signs when it beats, and checking it. Pure.

use std::mem;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, VerifyingKey};

use super::{Beat, Refusal, SKEW};
use crate::identifier;

/// Which bytes are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Zynd's: the UTF-8 bytes of the timestamp alone. Any registry that follows the agent would take it.
    #[default]
    Zynd,
    /// Ours: [`own_message`], for one agent at one office.
    Own,
}

/// The bytes of our own form: what it is, for which office (the journal's origin), of which agent (its DID), when.
pub fn own_message(office: &str, did: &str, timestamp: &str) -> String {
    format!("chancery heartbeat v1\n{office}\n{did}\n{timestamp}")
}

/// The longest timestamp: RFC 3339 to the nanosecond, with an offset.
const LONGEST_TIME: usize = 35;

/// The longest signature, with room for nothing.
const LONGEST_SIGNATURE: usize = 8 + 88;

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
    signature: Signature,
    form: Form,
}

/// A signature that is still to be checked.
pub(super) struct Check {
    key: Option<VerifyingKey>,
    message: String,
    signature: Signature,
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
        Ok(Self {
            at,
            signature: signature(&beat.signature).ok_or(Refusal::Malformed(
                "the signature is not `ed25519:` and base64 of 64 bytes",
            ))?,
            timestamp: beat.timestamp,
            form: beat.form,
        })
    }

    /// What is to be checked with an agent's key.
    pub fn check(self, key: &[u8], office: &str, did: &str) -> Check {
        Check {
            key: key
                .try_into()
                .ok()
                .and_then(|key| VerifyingKey::from_bytes(key).ok()),
            message: match self.form {
                Form::Zynd => self.timestamp,
                Form::Own => own_message(office, did, &self.timestamp),
            },
            signature: self.signature,
        }
    }
}

impl Check {
    /// Whether it is the key's. Strict: one message has one signature, and keys of small order sign nothing.
    pub fn holds(&self) -> bool {
        self.key.as_ref().is_some_and(|key| {
            key.verify_strict(self.message.as_bytes(), &self.signature)
                .is_ok()
        })
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

fn signature(text: &str) -> Option<Signature> {
    if text.len() > LONGEST_SIGNATURE {
        return None;
    }
    let bytes = STANDARD.decode(text.strip_prefix("ed25519:")?).ok()?;
    Signature::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
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
        let now = time(AT).expect("a time");
        Ok(Message::read(beat, now)?
            .check(key, "office.example", "did:key:x")
            .holds())
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
