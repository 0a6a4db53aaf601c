// Editing what an agent says of itself.

import { useState } from "preact/hooks";
import { agentPath, type Agent, type Chain, type Metadata, type Sync } from "../api";
import { useRead } from "../live";
import { build, emptyDraft, fits, naming, read, type Draft } from "../registration";
import { Form, Preview, useCheck } from "../parts/form";
import { noSubmit, type Props } from "../parts/owning";
import { usual, Where, uriOf, type Place } from "../parts/place";
import { Say } from "../parts/say";
import { Sign } from "../parts/send";
import { Alarm, Waiting } from "../parts/show";

export function Edit({ agent, chain, sync }: Props) {
  if (chain === null) return <EditStatement agent={agent} />;
  return <EditFile agent={agent} chain={chain} sync={sync} />;
}

/** An agent without a token has no file: its owner says its columns anew. */
function EditStatement({ agent }: { agent: Agent }) {
  const [texts, setTexts] = useState({
    name: agent.name,
    description: agent.description ?? "",
    endpoint_url: agent.endpoint_url ?? "",
    avatar_url: agent.avatar_url ?? "",
  });
  const fields: [keyof typeof texts, string][] = [
    ["name", "Name"],
    ["description", "Description"],
    ["endpoint_url", "Endpoint"],
    ["avatar_url", "Image"],
  ];
  const changed = fields.filter(([column]) => texts[column].trim() !== (agent[column] ?? ""));
  const content = () => Object.fromEntries(changed.map(([column]) => [column, texts[column].trim() === "" ? null : texts[column].trim()]));
  return (
    <form class="narrow" onSubmit={noSubmit}>
      {fields.map(([column, label]) => (
        <div class="field" key={column}>
          <label for={`s-${column}`}>{label}</label>
          <input
            id={`s-${column}`}
            required={column === "name"}
            maxLength={column === "description" ? 4000 : column === "name" ? 255 : 2048}
            autocomplete="off"
            value={texts[column]}
            onInput={(event) => setTexts({ ...texts, [column]: event.currentTarget.value })}
          />
        </div>
      ))}
      <Say agent={agent} action="update" content={content} label="Save" blocked={changed.length === 0 ? "Nothing is changed." : null} />
    </form>
  );
}

function EditFile({ agent, chain, sync }: { agent: Agent; chain: Chain; sync: Sync }) {
  const metadata = useRead<Metadata>(agent.agent_uri ? `${agentPath(agent.id)}/metadata` : null);
  if (agent.agent_uri && metadata.data === null) return metadata.error ? <Alarm>{metadata.error.message}</Alarm> : <Waiting what="the file" />;
  return <EditForm agent={agent} chain={chain} sync={sync} document={metadata.data?.document ?? null} />;
}

function EditForm({ agent, chain, sync, document }: { agent: Agent; chain: Chain; sync: Sync; document: unknown }) {
  const [plain, setPlain] = useState<string | null>(document === null || fits(document) ? null : JSON.stringify(document, null, 2));
  const [draft, setDraft] = useState<Draft>(() => (fits(document) ? read(document) : emptyDraft()));
  const [place, setPlace] = useState<Place>(() => usual(sync));
  const [names, setNames] = useState(true);
  const token = { chain: agent.chain ?? 0, registry: (agent.registry ?? "").toLowerCase(), agentId: agent.agent_id ?? "" };
  const file = build(draft);
  const text = plain === null ? JSON.stringify(names ? naming(file, token) : file) : compact(plain);
  const check = useCheck(text, undefined, undefined);
  const bad = check.checked?.state === "malformed" ? "The file cannot be read." : null;
  return (
    <form class="columns" onSubmit={noSubmit}>
      <div>
        {plain === null ? (
          <>
            <Form draft={draft} change={setDraft} />
            <label class="check">
              <input type="checkbox" checked={names} onChange={(event) => setNames(event.currentTarget.checked)} />
              <span>
                Name this agent in the file <span class="hint">Then file and token point at each other.</span>
              </span>
            </label>
          </>
        ) : (
          <div class="field">
            <label for="f-json">The file as JSON</label>
            <textarea id="f-json" class="code" rows={18} spellcheck={false} value={plain} onInput={(event) => setPlain(event.currentTarget.value)} />
          </div>
        )}
        {plain === null ? (
          <p>
            <button type="button" class="link" onClick={() => setPlain(JSON.stringify(JSON.parse(text), null, 2))}>
              Edit it as JSON
            </button>
          </p>
        ) : null}
        <Where place={place} change={setPlace} text={text} />
      </div>
      <div class="beside">
        <Preview text={text} checked={check.checked} error={check.error} />
        <Sign
          chain={chain}
          label="Save"
          blocked={check.isFresh ? bad : "The file is being checked…"}
          changed={`${text} ${place.way} ${place.url} ${place.unpinned}`}
          wish={async () => ({ kind: "set_uri", agent: agent.id, uri: await uriOf(place, text, check.checked, setPlace) })}
        />
      </div>
    </form>
  );
}

/** Without the spaces between, which would cost gas; what is no JSON stays as it is. */
function compact(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}
