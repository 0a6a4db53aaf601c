//! Messages by which accounts sign in (EIP-4361).

use axum::http::StatusCode;
use chrono::{SecondsFormat, TimeDelta};
use futures::future::join_all;
use kernel::{Bytes, hex_0x};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{Cell, Trick, Way, cell, changed_of_wallet, is_refused, named};
use crate::{
    kit::{Answer, Instance},
    proofs::{Wallet, nonce, now, sign_in},
};

/// What a wallet signs, as the trick has it, with a nonce that was just given.
fn message(wallet: &Wallet, trick: Trick, given: &str) -> Value {
    let own = wallet.address().to_string();
    let other = Wallet::new(42).address().to_string();
    let at = |offset: TimeDelta| (now() + offset).to_rfc3339_opts(SecondsFormat::Secs, true);
    let issued = |text: &str, offset: TimeDelta| {
        let (head, _) = text.rsplit_once("Issued At: ").unwrap();
        format!("{head}Issued At: {}", at(offset))
    };
    wallet.message(given, |text| match trick {
        Trick::WrongDomain => text.replace("localhost:8004 wants", "evil.example wants"),
        Trick::AnotherTarget => text.replace("URI: http://localhost", "URI: http://evil.example"),
        Trick::WrongChain => text.replace("Chain ID: 1", "Chain ID: 5"),
        // Five minutes, and one for clocks that differ.
        Trick::Expired => issued(&text, TimeDelta::seconds(-361)),
        Trick::Future => issued(&text, TimeDelta::seconds(120)),
        Trick::OthersKey => text.replace(&own, &other),
        Trick::CutKey | Trick::PaddedKey => text.replace(&own, &named(Some(trick), &own)),
        Trick::ReusedNonce => text.replace("Sign in.", "Sign in again."),
        _ => text,
    })
}

/// The message, with its signature as the trick has it.
fn attempt(wallet: &Wallet, trick: Trick, given: &str) -> Value {
    let mut signed = message(wallet, trick, given);
    if trick == Trick::Altered {
        let text = signed["message"].as_str().unwrap();
        signed["message"] = json!(text.replace("Sign in.", "Sign away."));
    }
    let signature: Bytes = serde_json::from_value(signed["signature"].clone()).unwrap();
    let signature = changed_of_wallet(Some(trick), &signature);
    signed["signature"] = json!(hex_0x(&signature));
    signed
}

fn secrets(signed: &Value) -> [String; 1] {
    [signed["signature"].as_str().unwrap().to_owned()]
}

#[sqlx::test]
async fn no_trick_signs_in(pool: PgPool) {
    // It follows chain 1.
    let instance = Instance::with_mainnet(&pool).await;
    let wallet = Wallet::new(41);
    for trick in Trick::ALL {
        let what = format!("{trick:?}");
        // Without the trick it is a sign-in.
        let used = nonce(&instance).await;
        let first = wallet.message(&used, |text| text);
        let opened = sign_in(&instance, &[], &first).await;
        assert_eq!(opened.status, StatusCode::OK, "{what}: {}", opened.text());
        match cell(Way::SignIn, trick) {
            Cell::Never(_) => {}
            Cell::One(code) => {
                let same = wallet.message(&nonce(&instance).await, |text| text);
                let answers = join_all((0..4).map(|_| sign_in(&instance, &[], &same))).await;
                let (won, lost): (Vec<Answer>, Vec<Answer>) = answers
                    .into_iter()
                    .partition(|answer| answer.status == StatusCode::OK);
                assert_eq!(won.len(), 1, "{what}: one session");
                for answer in lost {
                    is_refused(&instance, &what, &answer, code, &secrets(&same));
                }
            }
            Cell::Refused(code) => {
                let signed = match trick {
                    Trick::Replay => first,
                    Trick::ReusedNonce => attempt(&wallet, trick, &used),
                    _ => attempt(&wallet, trick, &nonce(&instance).await),
                };
                let answer = sign_in(&instance, &[], &signed).await;
                is_refused(&instance, &what, &answer, code, &secrets(&signed));
            }
        }
    }
    // A nonce is good for five minutes, also in a message that is younger.
    let late = nonce(&instance).await;
    let over =
        "UPDATE access.challenges SET expires_at = now() - interval '1 second' WHERE nonce = $1";
    let over = sqlx::query(over).bind(&late).execute(&pool).await.unwrap();
    assert_eq!(over.rows_affected(), 1);
    let signed = wallet.message(&late, |text| text);
    let answer = sign_in(&instance, &[], &signed).await;
    let what = "a nonce that is over";
    is_refused(&instance, what, &answer, "unauthorized", &secrets(&signed));
}
