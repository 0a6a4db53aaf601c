//! `data:` URIs (RFC 2397) as agents write them: with `enc=gzip`, with the wrong base64 alphabet,
//! and with "base64" on a label above plain JSON.

use std::io::Read;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flate2::read::GzDecoder;
use percent_encoding::percent_decode;

use crate::{Error, Result};

/// The longest document in a URI, in bytes after decoding.
pub const MAX_BYTES: usize = 64 * 1024;
/// The longest header that is looked through for its comma, in bytes.
const MAX_HEADER: usize = 1024;

/// A document that came in its URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The media type as written, without parameters.
    pub media_type: Option<String>,
    /// The document.
    pub bytes: Vec<u8>,
}

const TOLERANT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Unpacks a `data:` URI. Errors with [`Error::Malformed`], [`Error::TooLarge`] (beyond
/// [`MAX_BYTES`]) or [`Error::Unsupported`] (a compression that we do not know).
pub fn decode(uri: &[u8]) -> Result<Document> {
    let wrong = |what: &str| Error::Malformed(format!("data: URI {what}"));
    let rest = uri.get(5..).ok_or_else(|| wrong("without a scheme"))?;
    let comma = rest.iter().take(MAX_HEADER).position(|byte| *byte == b',');
    let (header, body) = rest.split_at(comma.ok_or_else(|| wrong("without a comma"))?);
    let header = String::from_utf8_lossy(header);
    let mut parts = header.split(';').map(str::trim);
    let media_type = parts
        .next()
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let (mut base64, mut encoding) = (false, None);
    for part in parts {
        let part = part.to_ascii_lowercase();
        match part.split_once('=') {
            None => base64 |= part == "base64",
            Some(("enc", name)) => encoding = Some(name.to_owned()),
            Some(_) => {} // charset, level
        }
    }
    let body = percent_decode(&body[1..]);
    let bytes = if base64 {
        from_base64(body.collect())?
    } else {
        body.collect()
    };
    let bytes = match encoding.as_deref() {
        None | Some("identity" | "none" | "") => bytes,
        Some("gzip" | "gz") => gunzip(&bytes)?,
        Some(other) => return Err(Error::Unsupported(format!("compression `{other}`"))),
    };
    if bytes.len() > MAX_BYTES {
        return Err(too_large());
    }
    Ok(Document { media_type, bytes })
}

fn too_large() -> Error {
    Error::TooLarge {
        limit: format!("{MAX_BYTES} bytes in a data: URI"),
    }
}

/// Base64 of either alphabet, padded or not; or the JSON that stands there instead.
fn from_base64(mut body: Vec<u8>) -> Result<Vec<u8>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[')) {
        return Ok(body);
    }
    body.retain(|byte| !byte.is_ascii_whitespace());
    let url_safe = body.iter().any(|byte| b"-_".contains(byte));
    let alphabet = if url_safe {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    GeneralPurpose::new(alphabet, TOLERANT)
        .decode(&body)
        .map_err(|error| Error::Malformed(format!("no base64: {error}")))
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(bytes)
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| Error::Malformed(format!("no gzip: {error}")))?;
    if out.len() > MAX_BYTES {
        Err(too_large())
    } else {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const JSON: &str = r#"{"name":"Agent ÿ?>","n":1}"#;

    fn gzip(bytes: &[u8]) -> String {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes).expect("to memory");
        BASE64_STANDARD.encode(gzip.finish().expect("to memory"))
    }

    #[test]
    fn all_forms_of_the_mainnet_give_the_same_document() {
        let encoded = BASE64_STANDARD.encode(JSON);
        let percent = JSON.replace('"', "%22").replace(' ', "%20");
        let zipped = gzip(JSON.as_bytes());
        for uri in [
            format!("data:application/json;base64,{encoded}"),
            format!("DATA:application/json;charset=utf-8;BASE64,{encoded}"),
            format!(
                "data:application/json;base64,{}",
                encoded.trim_end_matches('=')
            ),
            format!(
                "data:application/json;base64,{}",
                encoded.replace('=', "%3D")
            ),
            format!(
                "data:application/json;base64,{}\n{}",
                &encoded[..8],
                &encoded[8..]
            ),
            format!(
                "data:application/json;base64,{}",
                BASE64_URL_SAFE_NO_PAD.encode(JSON)
            ),
            format!("data:application/json;enc=gzip;level=6;base64,{zipped}"),
            format!("data:application/json;base64;enc=gzip,{zipped}"),
            format!("data:application/json,{JSON}"),
            format!("data:application/json,{percent}"),
            format!("data:application/json;utf8,{JSON}"),
            format!("data:application/json;base64,{JSON}"),
            format!("data:application/json;base64,{percent}"),
        ] {
            let document = decode(uri.as_bytes()).expect(&uri);
            assert_eq!(String::from_utf8_lossy(&document.bytes), JSON, "{uri}");
            assert_eq!(
                document.media_type.as_deref(),
                Some("application/json"),
                "{uri}"
            );
        }
        let text = decode(b"data:,").expect("empty");
        assert_eq!(
            text,
            Document {
                media_type: None,
                bytes: Vec::new()
            }
        );
        assert_eq!(
            decode(b"data:text/plain,50%25 of 1,2").expect("text").bytes,
            b"50% of 1,2"
        );
    }

    #[test]
    fn broken_and_unknown_forms_are_told_apart() {
        let malformed = [
            "data:",
            "data:application/json",
            "data:application/json;base64,####",
            "data:application/json;enc=gzip;base64,AAAA",
            "data:a/b;base64{}",
        ];
        for uri in malformed {
            assert!(
                matches!(decode(uri.as_bytes()), Err(Error::Malformed(_))),
                "{uri}"
            );
        }
        let cut = gzip(JSON.as_bytes());
        let cut = format!("data:;enc=gzip;base64,{}", &cut[..cut.len() / 2 / 4 * 4]);
        assert!(
            matches!(decode(cut.as_bytes()), Err(Error::Malformed(_))),
            "cut off"
        );
        for name in ["zstd", "br"] {
            let uri = format!("data:application/json;enc={name};base64,AAAA");
            let error = decode(uri.as_bytes()).expect_err("unknown");
            assert_eq!(
                error.to_string(),
                format!("compression `{name}` is not supported")
            );
        }
    }

    #[test]
    fn a_document_beyond_64_kib_is_refused_also_when_it_is_packed() {
        let most = vec![b'x'; MAX_BYTES];
        let more = vec![b'x'; MAX_BYTES + 1];
        let bomb = vec![0; 50 << 20];
        let plain = |bytes: &[u8]| [b"data:,", bytes].concat();
        assert_eq!(decode(&plain(&most)).expect("fits").bytes.len(), MAX_BYTES);
        assert!(matches!(decode(&plain(&more)), Err(Error::TooLarge { .. })));
        for packed in [&more, &bomb] {
            let uri = format!("data:;enc=gzip;base64,{}", gzip(packed));
            assert!(matches!(
                decode(uri.as_bytes()),
                Err(Error::TooLarge { .. })
            ));
        }
        assert_eq!(
            decode(format!("data:;enc=gzip;base64,{}", gzip(&most)).as_bytes())
                .expect("fits")
                .bytes,
            most
        );
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(
            header in "(;base64|;enc=gzip|a/b|;|=){0,4}",
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            drop(decode(&[b"data:", header.as_bytes(), b",", &body].concat()));
        }
    }
}
