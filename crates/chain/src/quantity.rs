//! Numbers as Ethereum's JSON has them: `7`, `"7"` or `"0x7"` when read, `"0x7"` when written.

use std::fmt;

use alloy::primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number that reads from a JSON number, a decimal text or a `0x` text, and prints as the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity<T>(pub T);

impl<'de, T: TryFrom<U256>> Deserialize<'de> for Quantity<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wide = deserializer.deserialize_any(QuantityVisitor)?;
        T::try_from(wide)
            .map(Self)
            .map_err(|_| de::Error::custom("the number is too large"))
    }
}

impl<T: fmt::LowerHex> Serialize for Quantity<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

struct QuantityVisitor;

impl de::Visitor<'_> for QuantityVisitor {
    type Value = U256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a decimal text or a 0x text")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<U256, E> {
        Ok(U256::from(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<U256, E> {
        u64::try_from(value)
            .map(U256::from)
            .map_err(|_| E::custom("the number is negative"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U256, E> {
        let wrong = || E::custom(format_args!("`{text}` is no number"));
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (text, 10),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        // Nearly all numbers are short, and the machine's own are read many times faster.
        if let Ok(short) = u64::from_str_radix(digits, radix) {
            return Ok(U256::from(short));
        }
        U256::from_str_radix(digits, radix.into()).map_err(|_| wrong())
    }
}

/// For `#[serde(with = "quantity")]`.
pub(crate) fn serialize<T: fmt::LowerHex, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#x}"))
}

/// For `#[serde(with = "quantity")]`.
pub(crate) fn deserialize<'de, T: TryFrom<U256>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Quantity::deserialize(deserializer).map(|quantity| quantity.0)
}

/// For `#[serde(with = "quantity::height")]`: a block's height, which must fit a signed number, as databases have it.
pub(crate) mod height {
    pub(crate) use super::serialize;
    use super::{Deserialize, Deserializer, Quantity, de};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let height = Quantity::<u64>::deserialize(deserializer)?.0;
        if i64::try_from(height).is_err() {
            return Err(de::Error::custom("no block is that high"));
        }
        Ok(height)
    }
}

/// For `#[serde(default, with = "quantity::optional")]`.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Quantity, Serialize, Serializer, U256, fmt};

    #[expect(clippy::ref_option, reason = "serde gives the field itself")]
    pub(crate) fn serialize<T: fmt::LowerHex + Copy, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Quantity).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: TryFrom<U256>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let value = Option::<Quantity<T>>::deserialize(deserializer)?;
        Ok(value.map(|quantity| quantity.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_fits_a_signed_number() {
        let read = |text: &str| height::deserialize(&mut serde_json::Deserializer::from_str(text));
        assert_eq!(
            read("\"0x7fffffffffffffff\"").expect("fits"),
            i64::MAX.unsigned_abs()
        );
        assert!(read("\"0x8000000000000000\"").is_err());
        assert!(read("\"0xffffffffffffffff\"").is_err());
    }

    #[test]
    fn three_notations_are_one_number() {
        for text in [
            "26",
            "\"26\"",
            "\"0x1a\"",
            "\"0x01A\"",
            "\"0x0000000000000000001a\"",
        ] {
            let read: Quantity<u64> = serde_json::from_str(text).expect(text);
            assert_eq!(read.0, 26, "{text}");
        }
        let wide: Quantity<u128> = serde_json::from_str("\"0x10000000000000000\"").expect("wide");
        assert_eq!(wide.0, 1 << 64);
        for wrong in [
            "-1", "1.5", "\"\"", "\"0x\"", "\"1a\"", "\"0x+1\"", "\"1_0\"", "null",
        ] {
            assert!(
                serde_json::from_str::<Quantity<u64>>(wrong).is_err(),
                "{wrong}"
            );
        }
        assert!(serde_json::from_str::<Quantity<u8>>("256").is_err());
        assert_eq!(
            serde_json::to_string(&Quantity(26u64)).expect("json"),
            "\"0x1a\""
        );
    }
}
