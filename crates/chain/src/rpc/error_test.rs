//! Real refusals of real nodes, and what they mean.

use super::*;

fn said(method: &'static str, body: &str) -> RpcError {
    let url = Url::parse("https://user:pass@node.example:8443/v3/secret?key=secret").expect("url");
    from_body(
        method,
        &format!(r#"{{"jsonrpc":"2.0","error":{body}}}"#),
        &url,
    )
}

fn logs(body: &str) -> RpcError {
    said("eth_getLogs", body)
}

#[test]
fn one_code_means_many_things() {
    let infura = logs(
        r#"{"code":-32005,"data":{"from":"0xBDE5F8","limit":10000,"to":"0x102DBCC"},
        "message":"query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC]."}"#,
    );
    let hint = Some((0xbd_e5f8, 0x102_dbcc));
    assert!(matches!(infura, RpcError::RangeTooLarge { hint: h, .. } if h == hint));
    let only_data = logs(
        r#"{"code":-32005,"data":{"from":"0x1","to":"0x2"},"message":"query returned more than 10000 results"}"#,
    );
    assert!(matches!(
        only_data,
        RpcError::RangeTooLarge {
            hint: Some((1, 2)),
            ..
        }
    ));
    let limited = logs(
        r#"{"code":-32005,"message":"daily request count exceeded, request rate limited","data":{"rate":{"backoff_seconds":30}}}"#,
    );
    let wait = Some(Duration::from_secs(30));
    assert!(matches!(limited, RpcError::Limited { retry_after, .. } if retry_after == wait));
    let soon = logs(r#"{"code":-32005,"message":"rate limited, try again in 4ms"}"#);
    let wait = Some(Duration::from_millis(4));
    assert!(matches!(soon, RpcError::Limited { retry_after, .. } if retry_after == wait));
}

#[test]
fn ranges_are_refused_in_many_words() {
    for body in [
        r#"{"code":-32602,"message":"Log response size exceeded. Based on your parameters and the response size limit, this block range should work: [0x0, 0xd043b8]"}"#,
        r#"{"code":-32600,"message":"Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range should work: [0x1180fca, 0x1180fd3]. Upgrade to PAYG for expanded block range."}"#,
        r#"{"code":-32000,"message":"Query timeout exceeded. Consider reducing your block range. Based on your parameters and the response size limit, this block range should work: [0x5223c98, 0x5223e80]"}"#,
    ] {
        let error = logs(body);
        assert!(
            matches!(error, RpcError::RangeTooLarge { hint: Some(_), .. }),
            "{error:?}"
        );
    }
    for body in [
        r#"{"code":-32602,"message":"exceed maximum block range: 5000"}"#,
        r#"{"code":-32602,"message":"range 1000000 exceeds limit of 10000"}"#,
        r#"{"code":-32614,"message":"eth_getLogs is limited to a 10,000 range"}"#,
    ] {
        let error = logs(body);
        assert!(
            matches!(error, RpcError::RangeTooLarge { hint: None, .. }),
            "{error:?}"
        );
        assert_eq!(error.kind(), Kind::Invalid);
    }
}

#[test]
fn limits_heads_methods_and_history_are_told_apart() {
    for body in [
        r#"{"code":429,"message":"Your app has exceeded its compute units per second capacity."}"#,
        r#"{"code":-32007,"message":"100/second request limit reached - reduce calls per second"}"#,
        r#"{"code":-32012,"message":"credits limited to 6000/sec"}"#,
    ] {
        assert_eq!(logs(body).kind(), Kind::Limited, "{body}");
    }
    for body in [
        r#"{"code":-32602,"message":"block range extends beyond current head block"}"#,
        r#"{"code":-32000,"message":"invalid block range params"}"#,
        r#"{"code":-32602,"message":"BlockOutOfRangeError: block height is 8 but requested was 9"}"#,
    ] {
        assert!(matches!(logs(body), RpcError::BeyondHead { .. }), "{body}");
    }
    let pruned = logs(r#"{"code":4444,"message":"pruned history unavailable"}"#);
    assert!(matches!(pruned, RpcError::Pruned { .. }));
    let unknown = logs(r#"{"code":-32000,"message":"unknown block"}"#);
    assert_eq!(unknown.kind(), Kind::NotFound);
    let none = said(
        "eth_getBlockReceipts",
        r#"{"code":-32601,"message":"the method eth_getBlockReceipts does not exist/is not available"}"#,
    );
    assert!(matches!(
        none,
        RpcError::NoMethod {
            method: "eth_getBlockReceipts",
            ..
        }
    ));
    let internal = logs(r#"{"code":-32603,"message":"something"}"#);
    assert_eq!(internal.kind(), Kind::Unavailable);
    let denied = logs(r#"{"code":-32000,"message":"Unauthorized: invalid api key"}"#);
    assert_eq!(denied.kind(), Kind::Denied);
}

#[test]
fn a_revert_keeps_its_data() {
    let error = said(
        "eth_call",
        r#"{"code":3,"message":"execution reverted","data":"0x7e2732890000000000000000000000000000000000000000000000000000000000000007"}"#,
    );
    let RpcError::Revert { reason } = &error else {
        panic!("{error:?}")
    };
    assert!(reason.is_unknown_token());
    assert_eq!(
        error.to_string(),
        "the contract refused: there is no agent 7"
    );
    // Named by the message alone, and data that is no hex.
    let bare = said(
        "eth_call",
        r#"{"code":-32000,"message":"execution reverted","data":"no"}"#,
    );
    assert!(matches!(bare, RpcError::Revert { .. }));
}

#[test]
fn other_servers_are_no_rpc_and_secrets_stay_out() {
    let url = Url::parse("https://user:pass@node.example:8443/v3/secret").expect("url");
    for text in ["<!DOCTYPE html>", "", "{\"status\":\"ok\"}", "OK", "null"] {
        let error = from_body("eth_chainId", text, &url);
        assert!(matches!(error, RpcError::NotAnRpc { .. }), "{text}");
        assert!(!error.to_string().contains("secret"));
    }
    let cut = from_body(
        "eth_getLogs",
        r#"{"jsonrpc":"2.0","id":1,"result":[{"addr"#,
        &url,
    );
    assert_eq!(cut.kind(), Kind::Unavailable);
    let custom = TransportErrorKind::custom_str(&format!("error sending request for url ({url})"));
    let error = RpcError::classify("eth_chainId", &custom, &url);
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(!error.to_string().contains("secret") && !error.to_string().contains("pass"));
}

#[test]
fn statuses_without_json_rpc() {
    let url = Url::parse("http://node.example/").expect("url");
    let http = |status: u16, body: &str| {
        let error = HttpError {
            status,
            body: body.to_owned(),
        };
        from_http("eth_chainId", &error, Some(Duration::from_secs(1)), &url)
    };
    assert!(matches!(
        http(429, ""),
        RpcError::Limited {
            retry_after: Some(_),
            ..
        }
    ));
    assert_eq!(http(503, "<html>").kind(), Kind::Unavailable);
    assert_eq!(http(401, "no").kind(), Kind::Denied);
    assert!(matches!(http(404, "<html>"), RpcError::NotAnRpc { .. }));
    assert!(matches!(
        http(405, r#"{"detail":"no"}"#),
        RpcError::NotAnRpc { .. }
    ));
    assert!(matches!(http(301, ""), RpcError::NotAnRpc { .. }));
}

#[test]
fn an_address_with_credentials_hides_its_path_too() {
    let url: Url = "http://user:secret@127.0.0.1:1/key".parse().unwrap();
    for said in [url.as_str(), "http://127.0.0.1:1/key"] {
        let text = without_secrets(&format!("error for url ({said})"), &url);
        assert!(!text.contains("key") && !text.contains("secret"), "{text}");
    }
}
