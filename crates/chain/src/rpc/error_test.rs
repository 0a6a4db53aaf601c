//! Real refusals of real nodes, and what they mean.

use super::*;

fn said(method: &'static str, body: &str) -> RpcError {
    let text = format!(r#"{{"jsonrpc":"2.0","error":{body}}}"#);
    let response: Response<IgnoredAny> = serde_json::from_str(&text).expect("an answer");
    from_failure(method, &response.error.expect("an error"))
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
    let young = said(
        "eth_getTransactionReceipt",
        r#"{"code":-32000,"message":"transaction indexing is in progress"}"#,
    );
    assert_eq!(young.kind(), Kind::Unavailable, "geth, just started");
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
fn errors_without_the_right_form_are_understood_too() {
    for body in [
        r#""rate limit exceeded""#,
        r#"{"message":"rate limit exceeded"}"#,
        r#"{"code":-32005,"message":"rate limit exceeded","data":null}"#,
        r#"["rate limit exceeded"]"#,
    ] {
        assert_eq!(logs(body).kind(), Kind::Limited, "{body}");
    }
    let wrapped = said(
        "eth_call",
        r#"{"code":3,"message":"reverted","data":{"originalError":{"data":"Reverted 0x7e273289"}}}"#,
    );
    let RpcError::Revert { reason } = &wrapped else {
        panic!("{wrapped:?}")
    };
    assert!(reason.is_unknown_token());
}

#[test]
fn other_servers_are_no_rpc_and_secrets_stay_out() {
    let url = Url::parse("https://user:pass@node.example:8443/v3/secret").expect("url");
    for text in ["<!DOCTYPE html>", "", "{\"status\":\"ok\"}", "OK", "null"] {
        let error = from_body(text.as_bytes(), &url);
        assert!(matches!(error, RpcError::NotAnRpc { .. }), "{text}");
        assert!(!error.to_string().contains("secret"));
    }
    for cut in [
        r#"{"jsonrpc":"2.0","id":1,"result":[{"addr"#,
        r#"[{"id":1,"result":[{"addr"#,
        "{",
    ] {
        assert_eq!(from_body(cut.as_bytes(), &url).kind(), Kind::Unavailable);
    }
    let told = net::Error::Unavailable(format!("error sending request for url ({url})"));
    let error = from_net("eth_chainId", &told, &url);
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(!error.to_string().contains("secret") && !error.to_string().contains("pass"));
}

#[test]
fn an_answer_that_is_too_large_asks_for_a_smaller_range() {
    let url = Url::parse("http://node.example/").expect("url");
    let large = net::Error::TooLarge { limit: 5 };
    let logs = from_net("eth_getLogs", &large, &url);
    assert!(matches!(logs, RpcError::RangeTooLarge { hint: None, .. }));
    assert_eq!(from_net("eth_call", &large, &url).kind(), Kind::Unavailable);
}

#[test]
fn statuses_count_with_any_body() {
    let url = Url::parse("http://node.example/").expect("url");
    let http = |status: u16, retry_after: Option<u64>, body: &str| {
        let reply = Reply {
            status,
            content_type: Some("application/json".to_owned()),
            retry_after: retry_after.map(Duration::from_secs),
            bytes: body.as_bytes().to_vec(),
        };
        from_status("eth_getLogs", &reply, &url)
    };
    let strange = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no backend"}}"#;
    let limits = r#"{"error":{"code":-32005,"message":"slower, try again in 4ms"}}"#;
    let range = r#"{"error":{"code":-32005,"message":"query returned more than 10000 results"}}"#;
    for (status, retry_after, body, wait) in [
        (429, Some(1), "", Some(Duration::from_secs(1))),
        (429, Some(1), strange, Some(Duration::from_secs(1))),
        (429, None, limits, Some(Duration::from_millis(4))),
        (429, None, "<html>", None),
        (429, Some(1_000_000), "", Some(LONGEST_WAIT)),
        (503, Some(7), "<html>", Some(Duration::from_secs(7))),
    ] {
        let error = http(status, retry_after, body);
        assert_eq!(error.kind(), Kind::Limited, "{body}");
        assert_eq!(error.retry_after(), wait, "{body}");
    }
    for (status, body) in [(503, "<html>"), (502, "{"), (500, strange), (408, "")] {
        assert_eq!(http(status, None, body).kind(), Kind::Unavailable, "{body}");
    }
    for status in [200, 400, 429, 500] {
        let error = http(status, None, range);
        assert!(matches!(error, RpcError::RangeTooLarge { .. }), "{status}");
    }
    assert_eq!(http(401, None, "no").kind(), Kind::Denied);
    for (status, body) in [(404, "<html>"), (405, r#"{"detail":"no"}"#), (301, "")] {
        let error = http(status, None, body);
        assert!(matches!(error, RpcError::NotAnRpc { .. }), "{error:?}");
    }
}

#[test]
fn an_address_with_credentials_hides_its_path_too() {
    let url: Url = "http://user:secret@127.0.0.1:1/key".parse().unwrap();
    for said in [url.as_str(), "http://127.0.0.1:1/key"] {
        let text = without_secrets(&format!("error for url ({said})"), &url);
        assert!(!text.contains("key") && !text.contains("secret"), "{text}");
    }
}
