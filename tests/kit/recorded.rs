//! A long recorded chain, made here: always the same, with everything that a registry says.

#[path = "../../indexer/tests/kit/script.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod script;

use chain::Recording;
use script::{ALICE, BOB, CAROL, SLEEP, Script};

/// Events of one block.
const PER_BLOCK: usize = 20;

/// Files that are there, and some that nobody has.
fn uri(number: u64) -> String {
    let number = number % 50;
    if number < 40 {
        let active = !number.is_multiple_of(3);
        return format!("data:application/json,{{\"name\":\"File {number}\",\"active\":{active}}}");
    }
    format!("ipfs://{}", kernel::cid_of_raw(&number.to_be_bytes()))
}

/// A recording of exactly `events` logs.
pub fn recording(events: usize) -> Recording {
    let mut script = Script::new(8_004);
    let (mut tokens, mut round, mut time) = (0, 0, 1_750_000_000);
    let (mut logs, mut count) = (Vec::new(), 0);
    while count < events {
        time += 12;
        let before = tokens;
        script.block(time, |block| {
            // Four logs with a URI, three without.
            block.register(tokens, ALICE, &uri(round));
            block.register(tokens + 1, BOB, "");
            tokens += 2;
            for number in 0..PER_BLOCK as u64 - 7 {
                // Young agents and old ones.
                let id = (round * 7 + number * 3) % tokens;
                match number % 8 {
                    0 => block.transfer(id, ALICE, CAROL),
                    1 => block.uri(id, &uri(round + number)),
                    2 => block.metadata(id, "agentWallet", BOB.as_slice()),
                    3 => block.metadata(id, "region", &round.to_be_bytes()),
                    4 => block.status(id, u8::from(round % 3 == 0) * SLEEP, "said"),
                    5 => block.heartbeat(id),
                    6 => block.uri(before, ""),
                    _ => block.metadata(id, "agentWallet", &[]),
                };
            }
            block
        });
        round += 1;
        count += script.blocks.last().expect("a block").1.len();
    }
    let mut blocks = Vec::new();
    for (block, held) in script.blocks {
        blocks.push(block);
        logs.extend(held);
    }
    logs.truncate(events);
    Recording {
        chain: script.id,
        blocks,
        logs,
        topics: None,
    }
}
