//! JSON-RPC 2.0: one call or a batch of them in, bytes out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    faults::{Batch, Faults},
    lies::Lies,
    methods,
    provider::Core,
    refusal::Refusal,
    stats::Stats,
    view::View,
};

/// One call.
#[derive(Debug, Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    #[serde(default)]
    pub params: Value,
}

impl Call<'_> {
    fn id(&self) -> &str {
        self.id.map_or("null", RawValue::get)
    }

    pub fn id_value(&self) -> Value {
        serde_json::from_str(self.id()).unwrap_or_default()
    }
}

/// What a request asks.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    One(Call<'a>),
    Many(Vec<Call<'a>>),
    Nothing,
}

impl<'a> Asked<'a> {
    pub fn read(body: &'a [u8]) -> Self {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            serde_json::from_slice(body).map_or(Self::Nothing, Self::Many)
        } else {
            serde_json::from_slice(body).map_or(Self::Nothing, Self::One)
        }
    }

    pub fn calls(&self) -> &[Call<'a>] {
        match self {
            Self::One(call) => std::slice::from_ref(call),
            Self::Many(calls) => calls,
            Self::Nothing => &[],
        }
    }
}

/// geth's limit of a batch's answers; later calls are refused.
const MAX_BATCH_BYTES: usize = 25_000_000;

/// Answers the `number`-th request.
pub(super) fn answer(core: &Core, asked: &Asked<'_>, faults: &Faults, number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    match asked {
        Asked::Nothing => write_refusal(&mut out, "null", &Refusal::parse()),
        Asked::One(call) => answer_call(core, call, faults, number, &mut out),
        Asked::Many(calls) => answer_batch(core, calls, faults, number, &mut out),
    }
    out
}

fn answer_batch(core: &Core, calls: &[Call<'_>], faults: &Faults, number: u64, out: &mut Vec<u8>) {
    let refuse = |why: &str, out: &mut Vec<u8>| write_refusal(out, "null", &Refusal::request(why));
    if calls.is_empty() {
        return refuse("empty batch", out);
    }
    if faults.batch == Batch::Refused {
        core.stats().count("batch");
        return refuse("batch requests are not supported", out);
    }
    if faults.max_batch > 0 && calls.len() > faults.max_batch {
        core.stats().count("max_batch");
        return refuse("batch too large", out);
    }
    let mut order: Vec<usize> = (0..calls.len()).collect();
    if faults.batch != Batch::Fine {
        core.stats().count("batch");
    }
    match faults.batch {
        Batch::Shuffled => order.sort_by_key(|place| crate::mix(faults.seed ^ *place as u64)),
        Batch::Short => order.truncate(calls.len() - 1),
        Batch::Fine | Batch::DuplicateIds | Batch::Refused => {}
    }
    out.push(b'[');
    for (nth, place) in order.into_iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        let call = &calls[place];
        let as_first = faults.batch == Batch::DuplicateIds && nth == 1;
        let id = if as_first { calls[0].id() } else { call.id() };
        if out.len() > MAX_BATCH_BYTES {
            write_refusal(out, id, &Refusal::too_large());
        } else {
            answer_as(core, call, id, faults, number, out);
        }
    }
    out.push(b']');
}

fn answer_call(core: &Core, call: &Call<'_>, faults: &Faults, number: u64, out: &mut Vec<u8>) {
    answer_as(core, call, call.id(), faults, number, out);
}

fn answer_as(
    core: &Core,
    call: &Call<'_>,
    id: &str,
    faults: &Faults,
    number: u64,
    out: &mut Vec<u8>,
) {
    let from = out.len();
    write_head(out, id);
    let mut done = Stats::default();
    let said = if call.method.starts_with("lab_") {
        super::admin::call(core, call, out)
    } else {
        let chain = core.network.chain();
        let stale = faults
            .stale
            .filter(|stale| super::faults::every(stale.every, number));
        let view = View::new(&chain, stale);
        // Counted apart, so that nobody waits for this answer.
        let mut lies = Lies {
            faults,
            stats: Stats::default(),
        };
        if stale.is_some() {
            lies.stats.count("stale");
        }
        let said = methods::call(&view, call, &mut lies, out);
        done = lies.stats;
        said
    };
    let is_refused = said.is_err();
    match said {
        Ok(()) => out.push(b'}'),
        Err(refusal) => {
            out.truncate(from);
            write_refusal(out, id, &refusal);
        }
    }
    done.call(&call.method, out.len() - from, is_refused);
    core.stats().add(done);
}

fn write_head(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(br#","result":"#);
}

/// Appends an answer that is an error.
pub(super) fn write_refusal(out: &mut Vec<u8>, id: &str, refusal: &Refusal) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(refusal.json().to_string().as_bytes());
    out.push(b'}');
}
