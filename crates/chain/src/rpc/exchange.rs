//! One question or many, and what came back: JSON-RPC 2.0 over HTTP POST.
//!
//! Nothing that a node answers is taken on trust: not its length (`net` bounds that), not its status,
//! not the ids, the number or the order of a batch's items.

use std::{collections::VecDeque, time::Instant};

use net::Reply;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    Rpc, RpcError,
    error::{from_body, from_net, from_status},
    wire::{Failure, Request, Response, responses},
    words::from_failure,
};

/// What became of a batch.
enum Batch<T> {
    /// One answer for each question, in the order of the questions. `None`: the node had said enough
    /// and wants this one asked again.
    Answers(Vec<Option<T>>),
    /// The node takes no batch of this size, or of any.
    Refused,
}

/// What one item of a batch says.
enum Item<T> {
    Result(T),
    Failure(Failure),
    /// JSON-RPC, but with another result than the question asks for.
    Mismatch(RpcError),
}

impl Rpc {
    /// One question.
    pub(super) async fn exchange<P: Serialize, T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<T, RpcError> {
        let id = self.ids(1);
        let body = encode(method, &Request::new(id, method, params))?;
        let reply = self.post(body, 1).await;
        let reply = reply.map_err(|error| from_net(method, &error, self.url()))?;
        if !is_success(&reply) {
            return Err(from_status(method, &reply, self.url()));
        }
        let stranger = || from_body(&reply.bytes, self.url());
        let response = match serde_json::from_slice::<Response<T>>(&reply.bytes) {
            Ok(response) => response,
            Err(error) => {
                let loose = loose(&reply.bytes).ok_or_else(stranger)?;
                return Err(match (loose.error, loose.result) {
                    (Some(failure), _) => from_failure(method, &failure),
                    (None, Some(result)) => mismatch(method, result, &error),
                    (None, None) => stranger(),
                });
            }
        };
        if let Some(failure) = response.error {
            return Err(from_failure(method, &failure));
        }
        let result = response.result.ok_or_else(stranger)?;
        if response.id == Some(id) {
            Ok(result)
        } else {
            let text = format!("{method} was answered with the answer to another question");
            Err(RpcError::unexpected(text))
        }
    }

    /// Many questions to one method, in batches of the size that the node takes. The answers come in
    /// the order of the questions; the first error ends it all.
    pub(super) async fn exchange_all<P: Serialize, T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[P],
    ) -> Result<Vec<T>, RpcError> {
        let mut answers: Vec<Option<T>> = Vec::new();
        answers.resize_with(params.len(), || None);
        let mut waiting: VecDeque<usize> = (0..params.len()).collect();
        while !waiting.is_empty() {
            let size = self.batch_size().min(waiting.len());
            let mut asked: Vec<usize> = waiting.drain(..size).collect();
            if let [only] = asked[..] {
                answers[only] = Some(self.exchange(method, &params[only]).await?);
                continue;
            }
            let questions: Vec<&P> = asked.iter().map(|at| &params[*at]).collect();
            if let Batch::Answers(told) = self.batch(method, &questions).await? {
                for (at, answer) in asked.iter().zip(told) {
                    answers[*at] = answer;
                }
                asked.retain(|at| answers[*at].is_none());
            }
            if asked.len() == size {
                self.halve_batch(size);
            }
            for at in asked.into_iter().rev() {
                waiting.push_front(at);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn batch<P: Serialize, T: DeserializeOwned>(
        &self,
        method: &'static str,
        questions: &[P],
    ) -> Result<Batch<T>, RpcError> {
        let first = self.ids(questions.len());
        let requests: Vec<_> = (first..)
            .zip(questions)
            .map(|(id, question)| Request::new(id, method, question))
            .collect();
        let reply = match self.post(encode(method, &requests)?, requests.len()).await {
            Ok(reply) => reply,
            Err(net::Error::TooLarge { .. }) => return Ok(Batch::Refused),
            Err(error) => return Err(from_net(method, &error, self.url())),
        };
        if !is_success(&reply) {
            return refused(from_status(method, &reply, self.url()));
        }
        let Some(items) = read_batch(method, &reply.bytes, questions.len()) else {
            // No array: one error for all of it, or no JSON-RPC.
            return refused(match loose(&reply.bytes).and_then(|one| one.error) {
                Some(failure) => from_failure(method, &failure),
                None => from_body(&reply.bytes, self.url()),
            });
        };
        if let [(None, Item::Failure(failure))] = &items[..] {
            return refused(from_failure(method, failure));
        }
        let items = in_order(method, items, first, questions.len())?;
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            answers.push(match item {
                Item::Result(result) => Some(result),
                Item::Failure(failure) if failure.wants_less() => None,
                Item::Failure(failure) => {
                    let error = from_failure(method, &failure);
                    if matches!(error, RpcError::Limited { .. }) {
                        // Each item counts against the limit: the same batch would meet it again.
                        self.halve_batch(questions.len());
                    }
                    return Err(error);
                }
                Item::Mismatch(error) => return Err(error),
            });
        }
        Ok(Batch::Answers(answers))
    }

    async fn post(&self, body: Vec<u8>, calls: usize) -> Result<Reply, net::Error> {
        let _turn = self.pace().enter(calls).await;
        let began = Instant::now();
        let call = self.service().post("").accept("application/json");
        let reply = call.body("application/json", body).send().await;
        let bytes = reply.as_ref().map_or(0, |reply| reply.bytes.len());
        self.meter().request(calls, began, bytes);
        reply
    }
}

fn encode<T: Serialize>(method: &'static str, request: &T) -> Result<Vec<u8>, RpcError> {
    serde_json::to_vec(request).map_err(|error| RpcError::Other {
        kind: kernel::Kind::Internal,
        code: None,
        message: format!("{method} cannot be written as JSON: {error}"),
    })
}

fn is_success(reply: &Reply) -> bool {
    (200..300).contains(&reply.status)
}

/// An error that stands for a whole batch: about its size, unless it says that the node is busy,
/// limits us, or does not let us in.
fn refused<T>(error: RpcError) -> Result<Batch<T>, RpcError> {
    use kernel::Kind::{Denied, Limited, Unavailable};
    let elsewhere = matches!(error.kind(), Denied | Limited | Unavailable);
    if elsewhere && !error.to_string().to_lowercase().contains("batch") {
        Err(error)
    } else {
        Ok(Batch::Refused)
    }
}

/// An answer, whatever its result is.
fn loose(text: &[u8]) -> Option<Response<&RawValue>> {
    serde_json::from_slice(text).ok()
}

fn mismatch(method: &str, result: &RawValue, error: &serde_json::Error) -> RpcError {
    RpcError::unexpected(if result.get() == "null" {
        format!("{method} was answered with null: the node knows nothing of it now")
    } else {
        format!("{method} was answered with something else: {error}")
    })
}

/// The items of an answer; where one of them is not what was asked for, each is read by itself.
/// `None`: this is no array of answers.
fn read_batch<T: DeserializeOwned>(
    method: &str,
    text: &[u8],
    most: usize,
) -> Option<Vec<(Option<u64>, Item<T>)>> {
    let neither = || RpcError::unexpected(format!("{method}: neither a result nor an error"));
    if let Ok(typed) = responses::<T>(text, most) {
        let item = |response: Response<T>| match (response.error, response.result) {
            (Some(failure), _) => Item::Failure(failure),
            (None, Some(result)) => Item::Result(result),
            (None, None) => Item::Mismatch(neither()),
        };
        return Some(typed.into_iter().map(|one| (one.id, item(one))).collect());
    }
    let item = |response: Response<&RawValue>| match (response.error, response.result) {
        (Some(failure), _) => Item::Failure(failure),
        (None, Some(result)) => match serde_json::from_str(result.get()) {
            Ok(result) => Item::Result(result),
            Err(error) => Item::Mismatch(mismatch(method, result, &error)),
        },
        (None, None) => Item::Mismatch(neither()),
    };
    let loose = responses::<&RawValue>(text, most).ok()?;
    Some(loose.into_iter().map(|one| (one.id, item(one))).collect())
}

/// Puts the items in the order of the questions, whose ids begin at `first`.
fn in_order<T>(
    method: &str,
    items: Vec<(Option<u64>, Item<T>)>,
    first: u64,
    count: usize,
) -> Result<Vec<Item<T>>, RpcError> {
    let wrong = |what: &str| RpcError::unexpected(format!("a batch of {method}: {what}"));
    let mut ordered: Vec<Option<Item<T>>> = Vec::new();
    ordered.resize_with(count, || None);
    for (id, item) in items {
        let place = id
            .and_then(|id| usize::try_from(id.checked_sub(first)?).ok())
            .and_then(|at| ordered.get_mut(at))
            .ok_or_else(|| wrong("an answer to no question of ours"))?;
        if place.replace(item).is_some() {
            return Err(wrong("two answers to one question"));
        }
    }
    let ordered: Option<Vec<_>> = ordered.into_iter().collect();
    ordered.ok_or_else(|| wrong("a question without an answer"))
}
