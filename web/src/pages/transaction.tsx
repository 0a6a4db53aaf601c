// What becomes of a transaction, step by step, until it is final. Its address can be come back to.

import { useEffect, useRef, useState } from "preact/hooks";
import { get, Problem, type Chain, type Outcome, type Sync } from "../api";
import { useTitle } from "../route";
import { useChanges, useRead } from "../live";
import { Alarm, Code, Note } from "../parts/show";
import { count, placeOf } from "../words";

type Step = { name: string; text: string; state: "done" | "now" | "later" | "failed" };

export function TransactionPage({ chain, tx }: { chain: string; tx: string }) {
  useTitle("A transaction");
  const { outcome, error, unknown } = useOutcome(chain, tx);
  const { data: sync, reload } = useRead<Sync>("/v1/sync", { minds: () => true, every: 10_000 });
  // What is settled and final is asked again at each step.
  useEffect(reload, [outcome?.indexed, outcome?.entries.length, reload]);
  const kept = sync?.chains.find((one) => String(one.chain) === chain) ?? null;
  const steps = stepsOf(outcome, kept);
  const current = [...steps].reverse().find((step) => step.state === "done" || step.state === "failed");
  const all = steps.every((step) => step.state === "done");
  return (
    <section class="narrow">
      <h1>{outcome?.state === "failed" ? "The chain refused it" : all ? "It is done" : "On its way"}</h1>
      <p>
        <Code text={tx} what="the transaction's hash" from={14} to={10} /> on {kept?.name ?? `chain ${chain}`}
      </p>
      {error ? <Alarm>{error}</Alarm> : null}
      {unknown ? (
        <Note tone="warn">
          The node here does not know it yet. If you sped it up or cancelled it in your wallet, another transaction took its place.
        </Note>
      ) : null}
      <ol class="steps">
        {steps.map((step) => (
          <li key={step.name} data-state={step.state} aria-current={step.state === "now" ? "step" : undefined}>
            <span class="mark" aria-hidden="true" />
            <strong>{step.name}</strong>
            <span class="soft">{step.text}</span>
          </li>
        ))}
      </ol>
      <p class="hidden" role="status">
        {current ? `${current.name}: ${current.text}` : ""}
      </p>
      {outcome && outcome.agents.length > 0 ? (
        <p class="buttons">
          {outcome.agents.map((agent) => (
            <a key={agent.id} class="button first" href={placeOf(agent)}>
              Go to {agent.name}
            </a>
          ))}
        </p>
      ) : null}
      {outcome && outcome.entries.length > 0 ? (
        <div class="card">
          <h2>What the journal says of it</h2>
          <ul class="plain">
            {outcome.entries.map((entry) => (
              <li key={entry.cid}>
                <a class="code" href={`/v1/entries/${entry.cid}`}>
                  <code>{entry.cid}</code>
                </a>{" "}
                <span class="soft">{entry.state}</span>
              </li>
            ))}
          </ul>
        </div>
      ) : null}
    </section>
  );
}

/** Looks when something changes at the head, and every few seconds: more seldom, the longer it takes. */
function useOutcome(chain: string, tx: string) {
  const [state, set] = useState<{ outcome: Outcome | null; error: string | null; misses: number }>({ outcome: null, error: null, misses: 0 });
  const nudge = useRef<() => void>(() => {});
  useChanges(() => nudge.current());
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let rounds = 0;
    let last = 0;
    const look = async () => {
      clearTimeout(timer);
      last = Date.now();
      let pause = rounds < 10 ? 1_000 : rounds < 40 ? 3_000 : 10_000;
      rounds++;
      try {
        const outcome = await get<Outcome>(`/v1/transactions/${encodeURIComponent(chain)}/${encodeURIComponent(tx)}`, stop.signal);
        if (stop.signal.aborted) return;
        set({ outcome, error: null, misses: 0 });
        if (isSealed(outcome) || outcome.state === "failed") pause = 30_000;
      } catch (error) {
        if (stop.signal.aborted) return;
        const missing = error instanceof Problem && error.status === 404;
        const waits = error instanceof Problem ? error.after : null;
        if (waits !== null) pause = waits * 1000;
        const text = missing || waits !== null ? null : (error as Error).message;
        set((was) => ({ ...was, error: text, misses: missing ? was.misses + 1 : was.misses }));
      }
      timer = setTimeout(look, pause);
    };
    nudge.current = () => {
      clearTimeout(timer);
      timer = setTimeout(look, Math.max(60, last + 700 - Date.now()));
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
      nudge.current = () => {};
    };
  }, [chain, tx]);
  return { ...state, unknown: state.misses > 8 };
}

const isSealed = (outcome: Outcome) => outcome.entries.length > 0 && outcome.entries.every((entry) => entry.state !== "queued");

function stepsOf(outcome: Outcome | null, chain: Chain | null): Step[] {
  const block = outcome?.block ?? null;
  const failed = outcome?.state === "failed";
  const sealed = outcome !== null && isSealed(outcome);
  const final = finality(chain, block);
  const facts: [string, boolean, string, string][] = [
    ["Seen", block !== null, `in block ${count(block)}`, outcome === null ? "the node looks for it" : "it waits for a block"],
    ["Indexed", outcome?.indexed === true, "its logs are read and the record is changed", "this instance reads the block next"],
    ["Journaled", sealed, "it stands in the signed log", journaling(outcome, chain, block)],
    ["Finalized", final.reached, final.done, final.waits],
  ];
  let before = true;
  return facts.map(([name, done, said, waits], at) => {
    if (failed && at === 0) return { name, text: `in block ${count(block)}, and it reverted: nothing changed, the gas is spent`, state: "failed" };
    if (failed) return { name, text: "", state: "later" };
    const state = done ? "done" : before ? "now" : "later";
    if (!done) before = false;
    return { name, text: done ? said : state === "now" ? waits : "", state };
  });
}

function journaling(outcome: Outcome | null, chain: Chain | null, block: number | null): string {
  if (outcome?.entries.some((entry) => entry.state === "queued")) return "its entry waits for the next seal";
  if (chain?.settled != null && block !== null && chain.settled < block) {
    return `once block ${count(block)} is settled; settled is block ${count(chain.settled)}`;
  }
  return "its entry is written next";
}

/** A dev chain of our own has no consensus: what is settled there stays. */
function finality(chain: Chain | null, block: number | null): { reached: boolean; done: string; waits: string } {
  if (chain === null || block === null) return { reached: false, done: "", waits: "" };
  if (chain.origin === "started") {
    const reached = (chain.settled ?? -1) >= block;
    return { reached, done: "this dev chain has no consensus: what is settled stays", waits: "once its block is settled" };
  }
  if (chain.finalized === null) return { reached: false, done: "", waits: "this chain's node does not say what is final" };
  return {
    reached: chain.finalized >= block,
    done: "no reorg can take it back any more",
    waits: `once consensus finalizes block ${count(block)}; final is block ${count(chain.finalized)}`,
  };
}
