//! `lab_...`: the experimenter's own methods, never late and never wrong.

use serde_json::{Value, json};

use super::{answer::Call, provider::Core, refusal::Refusal};

/// Appends the result of a call.
pub(super) fn call(core: &Core, call: &Call<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let number = |place: usize| match &call.params[place] {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::params("a number is wanted")),
        },
    };
    let result = match call.method.as_ref() {
        "lab_stats" => json!(*core.stats()),
        "lab_reset" => {
            *core.stats() = super::Stats::default();
            json!(true)
        }
        "lab_fault" => {
            let faults = core.faults().with(&call.params[0])?;
            let told = json!(faults);
            core.set_faults(faults);
            told
        }
        "lab_mine" => {
            core.network.mine(number(0)?.unwrap_or(1));
            json!(core.network.chain().head().number())
        }
        "lab_setHead" => {
            let to = number(0)?.ok_or_else(|| Refusal::params("a number is wanted"))?;
            core.network.change(|chain| chain.set_head(to));
            json!(core.network.chain().head().number())
        }
        "lab_reorg" => {
            let depth = number(0)?.unwrap_or(1);
            core.network.fork(depth, number(1)?.unwrap_or(depth));
            json!(core.network.chain().head().number())
        }
        "lab_switchTo" => {
            let hash = super::view::word(call.params[0].as_str().unwrap_or_default())?;
            json!(core.network.change(|chain| chain.switch_to(hash)))
        }
        "lab_truth" => {
            let head = core.network.chain().head().number();
            json!(core.network.truth(number(0)?.unwrap_or(head)))
        }
        name => return Err(Refusal::method(name)),
    };
    out.extend_from_slice(result.to_string().as_bytes());
    Ok(())
}
