// What stands behind a record, and what does not yet: said of chain, file and journal one by one.

import type { Agent, Entry, Metadata } from "../api";
import { count } from "../words";
import { Copy } from "./show";

type Standing = "proven" | "partly" | "open" | "broken";

interface Ground {
  what: string;
  word: string;
  text: string;
  standing: Standing;
}

const LEVELS: Record<string, [string, Standing, string]> = {
  claimed: ["claimed", "open", "An event says so, and nothing better confirms it yet."],
  reported: ["reported", "open", "One provider reported it. It is checked against the block's own roots next."],
  agreed: ["agreed", "partly", "Two providers said the same."],
  bloom: ["bloom", "partly", "It fits the filter in the block's header: no log is missing, as far as that tells."],
  proven: ["proven", "proven", "The block's receipts were recomputed to its root: no log is missing, and none is made up."],
  finalized: ["finalized", "proven", "Proven, and final by consensus: no reorg can take it back."],
};

function ofChain(agent: Agent): Ground {
  if (agent.chain === null) {
    return { what: "Chain", word: "off chain", standing: "partly", text: "It has no token: signed statements and the journal are its ground." };
  }
  const [word, standing, text] = LEVELS[agent.level ?? ""] ?? ["not known", "open", "Nobody said yet what it rests on."];
  const rest = agent.complete ? text : `${text} Its registration itself was not seen.`;
  return { what: "Chain", word, standing: agent.complete ? standing : "open", text: rest };
}

function ofFile(agent: Agent, metadata: Metadata | null): Ground {
  const what = "File";
  const state = metadata?.state ?? agent.metadata_state ?? "none";
  const verification = metadata?.verification ?? agent.metadata_verification;
  if (state === "none") return { what, word: "none", standing: "open", text: "It names no registration file." };
  if (verification === "mismatch") {
    return { what, word: "does not match", standing: "broken", text: "The bytes that were found are not those that the URI or the chain names. They are not shown." };
  }
  if (state === "pending") return { what, word: "being read", standing: "open", text: "The URI is known, the file is being fetched." };
  if (state !== "fetched" && state !== "nonconformant") {
    return { what, word: state.replaceAll("_", " "), standing: "broken", text: metadata?.error ?? "The file could not be read." };
  }
  if (verification === "verified") {
    const embedded = metadata?.agent_uri?.startsWith("data:");
    const text = embedded ? "The file stands in the URI on the chain itself: these are its bytes." : "These bytes hash to what the URI names.";
    return { what, word: "verified", standing: "proven", text };
  }
  return {
    what,
    word: "not verifiable",
    standing: "open",
    text: "Its web server gave these bytes. No hash on the chain says what they should be, so they may change unseen.",
  };
}

function ofJournal(entries: Entry[] | null): Ground {
  const what = "Journal";
  const newest = entries?.[0];
  if (!newest) return { what, word: "not yet", standing: "open", text: "Its changes are seen, and journaled once they are settled." };
  const leaf = newest.leaf_index === null ? "" : ` as leaf ${count(newest.leaf_index)}`;
  switch (newest.state) {
    case "queued":
      return { what, word: "queued", standing: "open", text: "The newest entry waits for the next seal." };
    case "sealed":
      return { what, word: "sealed", standing: "proven", text: `The newest entry stands in the signed log${leaf}.` };
    case "stored":
      return { what, word: "sealed and stored", standing: "proven", text: `The newest entry stands in the signed log${leaf}, and its copy lies in this instance's blockstore.` };
    case "pinned":
      return { what, word: "pinned on IPFS", standing: "proven", text: `The newest entry stands in the signed log${leaf}, and IPFS keeps a copy.` };
    default:
      return { what, word: "anchored", standing: "proven", text: `The newest entry stands in the signed log${leaf}, whose head a contract keeps.` };
  }
}

const MARKS: Record<Standing, [string, string]> = {
  proven: ["✓", "holds"],
  partly: ["◐", "holds in part"],
  open: ["○", "not proven yet"],
  broken: ["✕", "does not hold"],
};

export function Evidence({ agent, metadata, entries }: { agent: Agent; metadata: Metadata | null; entries: Entry[] | null }) {
  const grounds = [ofChain(agent), ofFile(agent, metadata), ofJournal(entries)];
  const command = `chancery --url ${location.origin} prove ${agent.chain === null ? agent.id : `${agent.chain}:${agent.agent_id}`} > agent.bundle && chancery verify agent.bundle`;
  return (
    <section class="evidence" aria-labelledby="evidence-title">
      <h2 id="evidence-title">What stands behind it</h2>
      <ul>
        {grounds.map((ground) => (
          <li key={ground.what} data-standing={ground.standing}>
            <span class="mark" aria-hidden="true">
              {MARKS[ground.standing][0]}
            </span>
            <span>
              <strong>
                {ground.what}: {ground.word}
              </strong>
              <span class="hidden"> ({MARKS[ground.standing][1]}). </span>
              <span class="text">{ground.text}</span>
            </span>
          </li>
        ))}
      </ul>
      <details>
        <summary>Check it without us</summary>
        <p>The proof leads from the block's header to this record, and is checked offline:</p>
        <div class="copyline">
          <pre tabIndex={0} aria-label="Command">
            {command}
          </pre>
          <Copy text={command} what="the command" />
        </div>
      </details>
    </section>
  );
}
