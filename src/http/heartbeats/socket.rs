//! A WebSocket that agents beat over. Messages are read while earlier ones are recorded; each is answered in its order.

use std::time::Duration;

use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, close_code},
    response::Response,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use identity::heartbeat::TTL;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{NamedBeat, Signed, Told, Upgrade};
use crate::http::{Code, Problem, Shared, guard::Standing};

/// No message is longer, in bytes.
const LONGEST: usize = 4_096;

/// Messages that are not answered yet; then no more are read.
const UNANSWERED: usize = 1_024;

/// Whoever sends so many wrong messages in a row is disconnected.
const WRONG: usize = 64;

/// Beyond the time that a beat lasts (Zynd's read deadline).
const GRACE: Duration = Duration::from_mins(1);

/// Opens a socket, for one agent or for many.
pub fn open(
    app: Shared,
    upgrade: Upgrade,
    only: Option<Uuid>,
    standing: Standing,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|_| {
        let detail = "this is a WebSocket: ask with `Connection: Upgrade` and `Upgrade: websocket`";
        Problem::new(Code::Invalid, detail)
    })?;
    let seat = app.beats.seat()?;
    Ok(upgrade
        .max_message_size(LONGEST)
        .max_frame_size(LONGEST)
        .on_upgrade(move |socket| {
            Open {
                app,
                only,
                wrong: 0,
                standing,
                _seat: seat,
            }
            .serve(socket)
        }))
}

/// A message. Its agent may be left out where the socket has one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default, alias = "agent_id", alias = "entity_id")]
    agent: Option<String>,
    timestamp: String,
    signature: String,
    #[serde(default)]
    form: Signed,
}

/// An open socket.
struct Open {
    app: Shared,
    /// Whose beats alone it takes.
    only: Option<Uuid>,
    /// Wrong messages since the last good one.
    wrong: usize,
    /// Of the proof that opened it.
    standing: Standing,
    _seat: OwnedSemaphorePermit,
}

impl Open {
    async fn serve(mut self, mut socket: WebSocket) {
        let idle = TTL.to_std().unwrap_or_default() + GRACE;
        let mut waiting: FuturesOrdered<BoxFuture<'static, Told>> = FuturesOrdered::new();
        let mut last = None;
        while self.wrong < WRONG {
            let told = tokio::select! {
                message = socket.recv(), if waiting.len() < UNANSWERED => match message {
                    Some(Ok(Message::Text(text))) => {
                        waiting.push_back(self.take(&text));
                        continue;
                    }
                    Some(Ok(Message::Binary(_))) => {
                        waiting.push_back(wrong(String::new(), "a beat is a text message"));
                        continue;
                    }
                    // The library answers these.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                Some(told) = waiting.next() => told,
                () = self.standing.over() => {
                    last = Some(CloseFrame {
                        code: close_code::POLICY,
                        reason: self.standing.why().into(),
                    });
                    break;
                }
                () = tokio::time::sleep(idle) => break,
            };
            self.wrong = if told.accepted { 0 } else { self.wrong + 1 };
            let text = serde_json::to_string(&told).unwrap_or_default();
            if socket.send(Message::Text(text.into())).await.is_err() {
                return;
            }
        }
        // Whether the client hears that it ends changes nothing.
        let _ = socket.send(Message::Close(last)).await;
    }

    /// What becomes of a message.
    fn take(&self, text: &str) -> BoxFuture<'static, Told> {
        let sent: Sent = match serde_json::from_str(text) {
            Ok(sent) => sent,
            Err(error) => return wrong(String::new(), &format!("the message is no beat: {error}")),
        };
        let agent = match (self.only, sent.agent) {
            (Some(only), None) => only.to_string(),
            (Some(only), Some(named)) if named == only.to_string() => named,
            (Some(_), Some(named)) => {
                return wrong(
                    named,
                    "this socket is one agent's: leave `agent` out, or use /v1/heartbeat",
                );
            }
            (None, Some(named)) => named,
            (None, None) => return wrong(String::new(), "the message names no `agent`"),
        };
        if agent.contains('\0') {
            return wrong(String::new(), "`agent` has the character U+0000 in it");
        }
        let name = agent.clone();
        let Sent {
            timestamp,
            signature,
            form,
            ..
        } = sent;
        let beat = NamedBeat {
            agent,
            timestamp,
            signature,
            form,
        }
        .beat();
        let beats = self.app.beats.clone();
        Box::pin(async move {
            match beats.record(vec![beat]).await {
                Ok(answers) => match answers.first() {
                    Some(answer) => Told::new(name, answer),
                    None => Told::refused(
                        name,
                        Code::Unavailable,
                        "the beat was not recorded".to_owned(),
                    ),
                },
                Err(failed) => {
                    let problem = Problem::from(failed);
                    Told::refused(name, problem.code, problem.detail)
                }
            }
        })
    }
}

fn wrong(agent: String, detail: &str) -> BoxFuture<'static, Told> {
    let told = Told::refused(agent, Code::Invalid, detail.to_owned());
    Box::pin(async move { told })
}
