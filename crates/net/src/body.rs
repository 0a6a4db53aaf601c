//! Reading an answer without trusting its length.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{CONTENT_ENCODING, HeaderMap, HeaderName, RETRY_AFTER},
};

use crate::{Error, Result};

/// Reads the body, decoded, and stops as soon as it passes `limit` bytes.
pub(crate) async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>> {
    // The client decodes what it asked for and then removes this header.
    if let Some(encoding) = text(response.headers(), CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Error::Unavailable(format!(
            "the answer is in an encoding we did not ask for: {}",
            cut(&encoding)
        )));
    }
    let declared = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Error::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(declared.unwrap_or(0));
    while let Some(chunk) = response.chunk().await? {
        if chunk.len() > limit - bytes.len() {
            return Err(Error::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A header's value, where it is text.
pub(crate) fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The error that a status other than success stands for.
pub(crate) fn status_error(status: StatusCode, headers: &HeaderMap) -> Error {
    if status != StatusCode::TOO_MANY_REQUESTS {
        return Error::Status(status.as_u16());
    }
    Error::Limited {
        retry_after: retry_after(headers),
    }
}

/// `Retry-After` in seconds. Its other form, a date, would need a clock; the caller's own back-off
/// serves as well.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The beginning of a text from outside, fit for a message.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
