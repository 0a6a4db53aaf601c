//! Which form of an answer a client wants.

use axum::http::{HeaderMap, header};

/// The forms that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The whole result, `application/did-resolution`.
    Result,
    /// The whole result as clients before 2025 read it: its error is a word.
    Legacy,
    /// The bare document, `application/did`.
    Document,
    /// The result of dereferencing, `application/did-url-dereferencing`.
    Dereferencing,
    /// The URL of a service, `text/uri-list`.
    UriList,
}

/// The profile that older resolvers and their tests ask for.
const PROFILE: &str = "https://w3id.org/did-resolution";

impl Form {
    /// The form that `Accept` likes best; `None` where it likes none of them.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        let mut asked = false;
        let lists = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for range in lists.flat_map(|list| list.split(',')).map(str::trim) {
            if range.is_empty() {
                continue;
            }
            asked = true;
            let Some(form) = Self::of_range(range) else {
                continue;
            };
            let weight = weight(range);
            if weight > 0.0 && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, form));
            }
        }
        best.map(|(_, form)| form)
            .or((!asked).then_some(Self::Result))
    }

    fn of_range(range: &str) -> Option<Self> {
        let media = range
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match media.as_str() {
            "application/ld+json" if range.contains(PROFILE) => Some(Self::Legacy),
            "application/did-resolution" | "application/json" | "*/*" | "application/*" => {
                Some(Self::Result)
            }
            "application/did"
            | "application/did+json"
            | "application/did+ld+json"
            | "application/ld+json" => Some(Self::Document),
            "application/did-url-dereferencing" => Some(Self::Dereferencing),
            "text/uri-list" => Some(Self::UriList),
            _ => None,
        }
    }
}

fn weight(range: &str) -> f32 {
    let parameters = range.split(';').skip(1).map(str::trim);
    let weights = parameters.filter_map(|parameter| parameter.strip_prefix("q="));
    weights
        .last()
        .map_or(1.0, |text| text.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_form_wins() {
        let of = |accept: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            Form::of(&headers)
        };
        assert_eq!(of(None), Some(Form::Result));
        assert_eq!(of(Some("text/html,*/*;q=0.8")), Some(Form::Result));
        assert_eq!(of(Some("application/did+ld+json")), Some(Form::Document));
        assert_eq!(
            of(Some("application/did;q=0.5, application/did-resolution")),
            Some(Form::Result)
        );
        assert_eq!(
            of(Some(
                "application/ld+json;profile=\"https://w3id.org/did-resolution\""
            )),
            Some(Form::Legacy)
        );
        assert_eq!(of(Some("image/png")), None);
        assert_eq!(of(Some("*/*;q=0")), None);
    }
}
