//! "Too many blocks", "too many logs": how providers refuse a range, and what they advise.

/// Parts of refusals of a range, in lower case. Codes say nothing: -32005, -32602, -32000, -32614
/// and 35 are all in use for it, and for other things.
const REFUSALS: &[&str] = &[
    "query returned more than",      // Infura, zkSync
    "query exceeds max results",     // reth, Alchemy
    "query exceeds max block range", // reth
    "this block range should work",  // Alchemy
    "log response size exceeded",    // Alchemy
    "exceed maximum block range",    // geth 1.17, BSC nodes
    "exceeds maximum block range",   //
    "block range limit exceeded",    // Thirdweb
    "block range is too large",      //
    "block range too large",         // Chainstack
    "block range is too wide",       // Ankr
    "range is too large",            // 1RPC
    "range too large",               //
    "range exceeds limit",           //
    "exceeds the range",             // BlockPI
    "max block range",               //
    "maximum block range",           //
    "max range",                     // Cloudflare
    "exceeds limit of",              // "logs matched by query exceeds limit of 10000"
    "requested too many blocks",     // Avalanche
    "is limited to a",               // QuickNode: "eth_getLogs is limited to a 10,000 range"
    "are limited to a",              // QuickNode
    "blocks are not supported",      // dRPC: "ranges over 10000 blocks are not supported"
    "response size should not",      // Polygon nodes
    "response is too big",           //
    "response too large",            // geth batch limit
    "response size is larger",       //
    "too many results",              //
    "too many logs",                 //
    "query timeout",                 // geth, Alchemy: "query timeout exceeded"
    "blocks distance",               // Ankr: "maximum [from, to] blocks distance: 10000"
    "limit the query to",            //
    "block range is limited",        //
    "block range extends the limit", //
];

/// Whether `message` (in lower case) refuses a range for its size. "range N exceeds limit" has its
/// number in the middle.
pub(super) fn is_refusal(message: &str) -> bool {
    REFUSALS.iter().any(|part| message.contains(part))
        || (message.contains("range ") && message.contains("exceeds limit"))
}

/// The range that the provider says it would answer, both ends included: `[0x1, 0xff]`, `[1, 255]`
/// or `the range 1-255`, the last that the message names.
pub(super) fn hint(message: &str) -> Option<(u64, u64)> {
    let bracket = message.rfind('[').map(|start| &message[start + 1..]);
    let named = message
        .rfind("with the range ")
        .map(|start| &message[start + 15..]);
    [bracket, named].into_iter().flatten().find_map(pair)
}

/// Two numbers at the start of `text`, joined by `,` or `-`.
fn pair(text: &str) -> Option<(u64, u64)> {
    let (from, rest) = number(text)?;
    let rest = rest.trim_start().strip_prefix([',', '-'])?;
    let (to, _) = number(rest)?;
    (from <= to).then_some((from, to))
}

fn number(text: &str) -> Option<(u64, &str)> {
    let text = text.trim_start();
    let (digits, radix) = text
        .strip_prefix("0x")
        .map_or((text, 10), |digits| (digits, 16));
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let value = u64::from_str_radix(&digits[..end], radix).ok()?;
    Some((value, &digits[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_their_advice_are_recognised() {
        let cases: &[(&str, Option<(u64, u64)>)] = &[
            (
                "query returned more than 10000 results. Try with this block range [0x10, 0x1F].",
                Some((16, 31)),
            ),
            (
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K \
                 block range and no limit on the response size, or you can request any block range \
                 with a cap of 10K logs in the response. Based on your parameters and the response \
                 size limit, this block range should work: [0x0, 0x1388]",
                Some((0, 5000)),
            ),
            (
                "query exceeds max results 20000, retry with the range 24454912-24454999",
                Some((24_454_912, 24_454_999)),
            ),
            ("exceed maximum block range: 5000", None),
            ("maximum [from, to] blocks distance: 10000", None),
            ("range 200000 exceeds limit of 100000", None),
            (
                "requested too many blocks from 1 to 5000, maximum is set to 2048",
                None,
            ),
            ("eth_getLogs is limited to a 10,000 range", None),
            (
                "query returned more than 10000 results. Try with this block range [0x2, 0x1]",
                None,
            ),
            ("query returned more than 10000 results [garbage", None),
        ];
        for (message, expected) in cases {
            assert!(is_refusal(&message.to_lowercase()), "{message}");
            assert_eq!(hint(message), *expected, "{message}");
        }
    }

    #[test]
    fn other_complaints_are_no_refusals_of_a_range() {
        for message in [
            "block range extends beyond current head block",
            "daily request count exceeded, request rate limited",
            "100/second request limit reached - reduce calls per second",
            "invalid block range params",
            "exceed max addresses or topics per search position",
        ] {
            assert!(!is_refusal(message), "{message}");
        }
    }
}
