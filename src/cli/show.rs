//! Text for people: what strangers wrote made harmless, tables and lists that fit 80 columns.

use std::io;

use chain::Prepared;
use chrono::{DateTime, Utc};
use kernel::{Address, U256};
use serde_json::Value;

use super::{
    Context,
    output::{Format, text},
};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Between two columns of a table.
const GAP: usize = 2;
/// A column that gives way keeps so much.
const LEAST: usize = 8;

/// One line without characters that move the cursor, colour the screen or turn the text around.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The beginning of a text, harmless, in at most `width` characters.
pub fn cut(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Who did something: an address as EIP-55 has it, any other name as it is.
pub fn who(name: &str) -> String {
    name.parse::<Address>()
        .map_or_else(|_| clean(name), |address| address.to_string())
}

/// An address as people compare it: `0xf39F…2266`.
pub fn short_address(address: &str) -> String {
    match (address.get(..6), address.len().checked_sub(4)) {
        (Some(head), Some(at)) if address.len() == 42 && address.is_ascii() => {
            format!("{head}…{}", &address[at..])
        }
        _ => clean(address),
    }
}

/// A time in UTC, to the second.
pub fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long something takes, by its two largest units.
pub fn duration(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) if hours < 48 => format!("{hours} h {} min", minutes % 60),
        (hours, _) => format!("{} days {} h", hours / 24, hours % 24),
    }
}

/// Bytes in the unit that keeps them below 1,024, with one decimal.
pub fn size(bytes: u64) -> String {
    let mut tenths = u128::from(bytes) * 10;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if tenths < 10_240 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1_024;
    }
    format!("{}.{} TiB", tenths / 10, tenths % 10)
}

/// Labels and values below each other; those without a value are left out. Values are printed
/// whole: they are what people copy.
pub fn fields(pairs: &[(&str, Option<String>)]) -> String {
    let present = |pair: &(&str, Option<String>)| pair.1.as_ref().is_some_and(|v| !v.is_empty());
    let width = pairs
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or_default();
    let mut lines = Vec::new();
    for (label, value) in pairs.iter().filter(|pair| present(pair)) {
        let value = value.as_deref().unwrap_or_default();
        lines.push(format!("{label:<width$}  {value}"));
    }
    lines.join("\n")
}

/// Items for programs, or one text for people; of nothing there is no text.
pub fn listed_as(
    context: &Context,
    items: &[Value],
    human: impl FnOnce() -> String,
) -> io::Result<()> {
    if context.global.output != Format::Human {
        return context.output.many(items, |_| String::new());
    }
    if items.is_empty() {
        Ok(())
    } else {
        text(&human())
    }
}

/// A table whose widest rows fit: the column `gives` is cut where they would not.
pub fn table(heads: &[&str], rows: &[Vec<String>], gives: usize) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let all = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if let Some(width) = widths.get_mut(gives) {
        let others = all - *width;
        *width = (*width).min(WIDTH.saturating_sub(others).max(LEAST));
    }
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let lines = std::iter::once(&heads).chain(rows).map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let cell = cut(cell, *width);
            format!("{cell:<width$}", width = width + GAP)
        });
        cells.collect::<String>().trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a transaction does and costs.
pub fn transaction(chain: u64, prepared: &Prepared) -> String {
    let (gas, fees) = (prepared.gas, prepared.fees());
    let price = decimal(U256::from(fees.max_fee), 9);
    let most = coins(fees.most(gas));
    fields(&[
        ("chain", Some(chain.to_string())),
        ("from", Some(prepared.from.to_string())),
        ("calls", prepared.to.map(|to| to.to_string())),
        ("gas", Some(format!("{gas} at up to {price} gwei"))),
        ("costs", Some(format!("{most} of the chain's coin at most"))),
    ])
}

/// An amount in wei, of the chain's coin.
pub fn coins(wei: U256) -> String {
    decimal(wei, 18)
}

/// A whole number of the smallest unit as a decimal fraction, without idle zeros.
fn decimal(number: U256, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_full() {
        let of = |number: u64, places| decimal(U256::from(number), places);
        assert_eq!(of(0, 18), "0");
        assert_eq!(of(1_500_000_000, 9), "1.5");
        assert_eq!(of(21, 18), "0.000000000000000021");
        assert_eq!(of(3_000_000_000, 9), "3");
    }

    #[test]
    fn what_strangers_wrote_does_nothing_to_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb c\u{fffd}d");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }

    #[test]
    fn a_wide_table_fits() {
        let rows = vec![vec!["1:0".to_owned(), "x".repeat(200), "ACTIVE".to_owned()]];
        let text = table(&["AGENT", "NAME", "STATUS"], &rows, 1);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(text.ends_with("ACTIVE"));
    }

    #[test]
    fn a_time_to_wait_is_told_in_two_units() {
        for (seconds, expected) in [
            (7, "7 s"),
            (200, "3 min 20 s"),
            (7_500, "2 h 5 min"),
            (180_000, "2 days 2 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0.0 B"),
            (1_023, "1023.0 B"),
            (1_536, "1.5 KiB"),
            (3 << 30, "3.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn an_address_keeps_its_ends() {
        let address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert_eq!(short_address(address), "0xf39F…2266");
        assert_eq!(short_address(""), "");
        assert_eq!(who(&address.to_lowercase()), address);
        assert_eq!(who("operator"), "operator");
    }
}
