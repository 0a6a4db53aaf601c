//! A WebSocket that agents beat over. Messages are read while earlier ones are recorded; each is answered in its order.

use std::time::Duration;

use access::address::Network;
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, close_code},
    response::Response,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{NamedBeat, Signed, Told, Upgrade, seats::Seat, shown};
use crate::http::{Code, Problem, Shared, guard::Standing};

/// No message is longer, in bytes.
const LONGEST: usize = 4_096;

/// Messages that are not answered yet; then no more are read.
const UNANSWERED: usize = 1_024;

/// Whoever sends so many wrong messages in a row is disconnected. That we could not record one is not its sender's fault.
const WRONG: usize = 64;

/// Why we end a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// What proved who opened it does not any more.
    Proof(&'static str),
    /// No beat counted for so many seconds (Zynd's read deadline, unless it is configured otherwise).
    Silence(u64),
    /// [`WRONG`] messages in a row were.
    Wrong,
}

impl End {
    /// The close frame. Codes of our own end as the HTTP status of the same sort does (RFC 6455, 7.4.2).
    fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::Proof(why) => (close_code::POLICY, why.to_owned()),
            Self::Silence(seconds) => (4408, format!("no beat counted for {seconds} s")),
            Self::Wrong => (4400, format!("{WRONG} messages in a row were wrong")),
        };
        CloseFrame {
            code,
            reason: reason.into(),
        }
    }
}

/// Opens a socket, for one agent or for many.
pub fn open(
    app: Shared,
    upgrade: Upgrade,
    only: Option<Uuid>,
    standing: Standing,
    caller: Option<Network>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|_| {
        let detail = "this is a WebSocket: ask with `Connection: Upgrade` and `Upgrade: websocket`";
        Problem::new(Code::Invalid, detail)
    })?;
    let seat = app.seats.take(caller)?;
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

/// What became of a message.
struct Judged {
    told: Told,
    /// Whether it counts among the wrong ones.
    is_wrong: bool,
}

impl Judged {
    /// A beat that was held against what is known of its agent.
    fn beat(told: Told) -> Self {
        let is_wrong = !told.accepted;
        Self { told, is_wrong }
    }

    /// A beat that was not: it may count when it is sent again.
    fn unheard(agent: String, code: Code, detail: String) -> Self {
        Self {
            told: Told::refused(agent, code, detail),
            is_wrong: false,
        }
    }
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
    _seat: Seat,
}

impl Open {
    async fn serve(mut self, mut socket: WebSocket) {
        if let Some(end) = self.until_it_ends(&mut socket).await {
            // Whether the client hears that it ends changes nothing.
            self.send(&mut socket, Message::Close(Some(end.frame())))
                .await;
        }
    }

    /// Answers beats until one side ends it: why we do, `None` where the client did, or takes no answer.
    async fn until_it_ends(&mut self, socket: &mut WebSocket) -> Option<End> {
        let seconds = self.app.config.http.socket_silence_seconds;
        let silence = Duration::from_secs(seconds);
        let mut waiting: FuturesOrdered<BoxFuture<'static, Judged>> = FuturesOrdered::new();
        let mut counted = Instant::now();
        while self.wrong < WRONG {
            let judged = tokio::select! {
                message = socket.recv(), if waiting.len() < UNANSWERED => match message {
                    Some(Ok(Message::Text(text))) => {
                        waiting.push_back(self.take(&text));
                        continue;
                    }
                    Some(Ok(Message::Binary(_))) => {
                        waiting.push_back(wrong(String::new(), "a beat is a text message"));
                        continue;
                    }
                    // The library answers these. That somebody is there is no beat.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                },
                Some(judged) = waiting.next() => judged,
                () = self.standing.over() => return Some(End::Proof(self.standing.why())),
                // What is not answered yet may count.
                () = tokio::time::sleep_until(counted + silence), if waiting.is_empty() => {
                    return Some(End::Silence(seconds));
                }
            };
            if judged.told.accepted {
                (self.wrong, counted) = (0, Instant::now());
            } else if judged.is_wrong {
                self.wrong += 1;
            }
            let text = serde_json::to_string(&judged.told).unwrap_or_default();
            if !self.send(socket, Message::Text(text.into())).await {
                return None;
            }
        }
        Some(End::Wrong)
    }

    /// Sends something; false where the client does not take it in the time that one answer has: whoever reads nothing,
    /// or as good as nothing, keeps no place by that.
    async fn send(&self, socket: &mut WebSocket, message: Message) -> bool {
        let within = Duration::from_secs(self.app.config.http.timeout_seconds);
        let sent = tokio::time::timeout(within, socket.send(message)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// What becomes of a message.
    fn take(&self, text: &str) -> BoxFuture<'static, Judged> {
        let sent: Sent = match serde_json::from_str(text) {
            Ok(sent) => sent,
            Err(error) => return wrong(String::new(), &format!("the message is no beat: {error}")),
        };
        let agent = match (self.only, sent.agent) {
            (Some(only), None) => only.to_string(),
            (Some(only), Some(named)) if named == only.to_string() => named,
            (Some(_), Some(named)) => {
                return wrong(
                    shown(&named),
                    "this socket is one agent's: leave `agent` out, or use /v1/heartbeat",
                );
            }
            (None, Some(named)) => named,
            (None, None) => return wrong(String::new(), "the message names no `agent`"),
        };
        if agent.contains('\0') {
            return wrong(String::new(), "`agent` has the character U+0000 in it");
        }
        let name = shown(&agent);
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
                Ok(answers) => {
                    if let Some(answer) = answers.first() {
                        Judged::beat(Told::new(name, answer))
                    } else {
                        let detail = "the beat was not recorded".to_owned();
                        Judged::unheard(name, Code::Unavailable, detail)
                    }
                }
                Err(failed) => {
                    let problem = Problem::from(failed);
                    Judged::unheard(name, problem.code, problem.detail)
                }
            }
        })
    }
}

fn wrong(agent: String, detail: &str) -> BoxFuture<'static, Judged> {
    let judged = Judged {
        told: Told::refused(agent, Code::Invalid, detail.to_owned()),
        is_wrong: true,
    };
    Box::pin(async move { judged })
}
