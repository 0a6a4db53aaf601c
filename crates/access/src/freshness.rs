//! Times in what people sign: for how long it is believed.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Error, Result};

/// A signer's clock may be so much ahead of ours.
const SKEW: TimeDelta = TimeDelta::seconds(60);

/// Whether something that was signed at `created`, to hold until `expires`, is believed now: not longer than `longest`
/// in all.
pub fn check(
    created: DateTime<Utc>,
    expires: DateTime<Utc>,
    now: DateTime<Utc>,
    longest: TimeDelta,
) -> Result<()> {
    let refused = |why: String| Err(Error::Unproven(why));
    if expires <= created || expires - created > longest {
        let seconds = longest.num_seconds();
        return refused(format!(
            "a signature holds for 1 to {seconds} seconds, from its creation to its end"
        ));
    }
    if created > now + SKEW {
        return refused("the signature is of the future: look at the signer's clock".to_owned());
    }
    if expires <= now {
        return refused("the signature is over: sign anew".to_owned());
    }
    Ok(())
}

/// A time given in seconds since 1970.
pub fn time(seconds: i64) -> Result<DateTime<Utc>> {
    let wrong = || Error::Unproven("a time in the signature is out of range".to_owned());
    DateTime::from_timestamp(seconds, 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_early_and_long_lived_signatures_are_refused() {
        let now = time(1_800_000_000).unwrap();
        let at = |created: i64, expires: i64| {
            let of = |offset| now + TimeDelta::seconds(offset);
            let longest = TimeDelta::seconds(300);
            check(of(created), of(expires), now, longest).map_err(|error| error.to_string())
        };
        for (created, expires) in [(0, 300), (-299, 1), (60, 100), (0, 1)] {
            assert_eq!(at(created, expires), Ok(()), "{created} to {expires}");
        }
        for (created, expires, word) in [
            (0, 301, "300 seconds"),
            (0, 0, "300 seconds"),
            (10, 5, "300 seconds"),
            (61, 100, "future"),
            (-300, 0, "over"),
        ] {
            let why = at(created, expires).unwrap_err();
            assert!(why.contains(word), "{created} to {expires}: {why}");
        }
        assert!(time(i64::MAX).is_err());
    }
}
