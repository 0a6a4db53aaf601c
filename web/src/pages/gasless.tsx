// Registering without gas: a key for the agent, made here, and what it and its owner's wallet sign.

import { useState } from "preact/hooks";
import { go } from "../route";
import { makeKey, register, type AgentKey } from "../statement";
import { Alarm, Code, Note } from "../parts/show";
import { useWallet } from "../wallet";
import { middle } from "../words";

/** What the key is saved as. */
const FILE = "agent.key";

interface Draft {
  name: string;
  description: string;
  endpoint: string;
  image: string;
  skills: string;
}

export function Gasless() {
  const { connected } = useWallet();
  const [draft, setDraft] = useState<Draft>({ name: "", description: "", endpoint: "", image: "", skills: "" });
  const [key, setKey] = useState<AgentKey | null>(null);
  const [saved, setSaved] = useState(false);
  const [owned, setOwned] = useState(true);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const set = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  const owner = owned ? connected : null;

  const doing = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (error) {
      setError((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const sign = (event: Event) => {
    event.preventDefault();
    if (key === null) return;
    void doing(async () => {
      const recorded = await register(key, contentOf(draft), owner);
      go(`/agents/${recorded.agent}`);
    });
  };
  return (
    <form class="narrow" onSubmit={sign}>
      <Field id="g-name" label="Name" value={draft.name} change={(name) => set({ name })} required most={255} />
      <div class="field">
        <label for="g-description">Description</label>
        <textarea
          id="g-description"
          rows={3}
          maxLength={4000}
          value={draft.description}
          onInput={(event) => set({ description: event.currentTarget.value })}
        />
      </div>
      <Field id="g-endpoint" label="Endpoint" kind="url" value={draft.endpoint} change={(endpoint) => set({ endpoint })} most={2048} />
      <Field id="g-image" label="Image" kind="url" value={draft.image} change={(image) => set({ image })} most={2048} />
      <Field id="g-skills" label="Skills" value={draft.skills} change={(skills) => set({ skills })} most={1000} hint="Names, with commas between." />
      <div class="card">
        <h2>The agent's key</h2>
        <p>The agent proves with it who it is, and signs with it. It is made in this browser and sent nowhere: if you lose it, nobody can give it back.</p>
        {key === null ? (
          <button type="button" disabled={busy} onClick={() => void doing(async () => setKey(await makeKey()))}>
            Make a key
          </button>
        ) : (
          <>
            <p>
              <Code text={key.did} what="the DID" from={16} to={8} />
            </p>
            <p class="buttons">
              <button
                type="button"
                aria-describedby="g-key-hint"
                onClick={() => {
                  save(key);
                  setSaved(true);
                }}
              >
                Save the key file
              </button>
              {saved ? <span class="good">Keep it where only you and the agent can read it.</span> : <span class="warn">Save it before you go on.</span>}
            </p>
            <p class="hint" id="g-key-hint">
              Browsers let others on this machine read what they save, and the command line takes no such key. Where you saved it:{" "}
              <code>chmod 600 {FILE}</code>
            </p>
          </>
        )}
      </div>
      {connected ? (
        <label class="check">
          <input type="checkbox" checked={owned} onChange={(event) => setOwned(event.currentTarget.checked)} />
          <span>
            It belongs to <code>{middle(connected.account)}</code>{" "}
            <span class="hint">Your wallet signs the same, which costs nothing; then you can speak for it, too.</span>
          </span>
        </label>
      ) : (
        <Note>Without a connected wallet the agent has no owner: its key alone speaks for it.</Note>
      )}
      {error ? <Alarm>{error}</Alarm> : null}
      <p class="buttons">
        <button type="submit" class="first" disabled={busy || key === null || !saved}>
          {busy ? "Signing…" : "Sign and register"}
        </button>
        <span class="soft">Costs nothing. It stands in this office's journal, not on a chain.</span>
      </p>
    </form>
  );
}

function Field({
  id,
  label,
  value,
  change,
  most,
  required,
  kind = "text",
  hint,
}: {
  id: string;
  label: string;
  value: string;
  change: (text: string) => void;
  most: number;
  required?: boolean;
  kind?: "text" | "url";
  hint?: string;
}) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={kind as "text"}
        required={required}
        maxLength={most}
        autocomplete="off"
        spellcheck={false}
        aria-describedby={hint ? `${id}-hint` : undefined}
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {hint ? (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      ) : null}
    </div>
  );
}

function contentOf(draft: Draft): Record<string, unknown> {
  const skills = draft.skills
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
  const texts: [string, string][] = [
    ["name", draft.name],
    ["description", draft.description],
    ["endpoint_url", draft.endpoint],
    ["avatar_url", draft.image],
  ];
  const content: Record<string, unknown> = {};
  for (const [name, text] of texts) if (text.trim() !== "") content[name] = text.trim();
  if (skills.length > 0) content.capabilities = Object.fromEntries(skills.map((skill) => [`skill:${skill}`, {}]));
  return content;
}

function save(key: AgentKey) {
  const url = URL.createObjectURL(new Blob([`${key.secret}\n`], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = FILE;
  link.click();
  URL.revokeObjectURL(url);
}
