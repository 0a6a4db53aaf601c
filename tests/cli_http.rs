//! What holds for every answer of the HTTP door, whatever the route.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::fs;

use instance::Place;
use serde_json::Value;

#[test]
fn problems_tokens_etags_and_documents() {
    let place = Place::new("data");
    let up = place.up();

    let (status, head, body) =
        up.request("GET /v1/nothing HTTP/1.0\r\norigin: https://a.example\r\n\r\n");
    assert_eq!(status, 404);
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["code"], "not_found");
    assert_eq!(problem["instance"], "/v1/nothing");
    let id = problem["request_id"].as_str().unwrap();
    assert!(head.contains(&format!("x-request-id: {id}")), "{head}");

    let post = |token: &str| {
        let token = if token.is_empty() {
            String::new()
        } else {
            format!("authorization: Bearer {token}\r\n")
        };
        up.request(&format!(
            "POST /livez HTTP/1.0\r\n{token}content-length: 0\r\n\r\n"
        ))
        .0
    };
    assert_eq!(post(""), 401);
    assert_eq!(post("0123456789abcdef0123456789abcdef"), 401);
    let token = fs::read_to_string(place.dir().join("token")).unwrap();
    assert_eq!(
        post(token.trim()),
        405,
        "the token is right, the method is not"
    );

    let (status, head, body) = up.request("GET /openapi.json HTTP/1.0\r\n\r\n");
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<Value>(&body).unwrap()["paths"]["/readyz"].is_object());
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let again = up.request(&format!(
        "GET /openapi.json HTTP/1.0\r\nif-none-match: {tag}\r\n\r\n"
    ));
    assert_eq!((again.0, again.2.as_str()), (304, ""));
    assert_eq!(up.get("/docs/").0, 200);
    let (_, metrics) = up.get("/metrics");
    assert!(
        metrics
            .contains("http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1")
    );
}
