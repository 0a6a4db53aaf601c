// The form of a registration file, and what the server's parser says of it while it is written.

import { useEffect, useState } from "preact/hooks";
import { post, Problem, type Checked } from "../api";
import { SERVICE_NAMES, TRUST, type Draft, type Service } from "../registration";
import { bytes, placeOf, titleOf } from "../words";
import { Alarm, Note } from "./show";

interface Props {
  draft: Draft;
  change: (draft: Draft) => void;
}

export function Form({ draft, change }: Props) {
  const set = (part: Partial<Draft>) => change({ ...draft, ...part });
  return (
    <>
      <div class="field">
        <label for="f-name">Name</label>
        <input id="f-name" required maxLength={255} autocomplete="off" value={draft.name} onInput={(event) => set({ name: event.currentTarget.value })} />
      </div>
      <div class="field">
        <label for="f-description">Description</label>
        <textarea
          id="f-description"
          required
          rows={3}
          aria-describedby="f-description-hint"
          value={draft.description}
          onInput={(event) => set({ description: event.currentTarget.value })}
        />
        <p class="hint" id="f-description-hint">
          What it does, for whom, and how it is used.
        </p>
      </div>
      <div class="field">
        <label for="f-image">Image</label>
        <input
          id="f-image"
          type="url"
          placeholder="https://example.com/agent.png"
          autocomplete="off"
          spellcheck={false}
          value={draft.image}
          onInput={(event) => set({ image: event.currentTarget.value })}
        />
      </div>
      <Services services={draft.services} change={(services) => set({ services })} />
      <div class="pair">
        <div class="field">
          <label for="f-skills">Skills</label>
          <input
            id="f-skills"
            autocomplete="off"
            placeholder="analysis/reports, translation"
            aria-describedby="f-skills-hint"
            value={draft.skills}
            onInput={(event) => set({ skills: event.currentTarget.value })}
          />
          <p class="hint" id="f-skills-hint">
            Names of the OASF catalogue, with commas between.
          </p>
        </div>
        <div class="field">
          <label for="f-domains">Domains</label>
          <input
            id="f-domains"
            autocomplete="off"
            placeholder="finance, health"
            value={draft.domains}
            onInput={(event) => set({ domains: event.currentTarget.value })}
          />
        </div>
      </div>
      <fieldset>
        <legend>How it can be trusted</legend>
        {TRUST.map(([name, title, text]) => (
          <label class="check" key={name}>
            <input
              type="checkbox"
              checked={draft.trust.includes(name)}
              onChange={(event) =>
                set({ trust: event.currentTarget.checked ? [...draft.trust, name] : draft.trust.filter((one) => one !== name) })
              }
            />
            <span>
              {title} <span class="hint">{text}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <fieldset>
        <legend>State</legend>
        <label class="check">
          <input type="checkbox" checked={draft.active} onChange={(event) => set({ active: event.currentTarget.checked })} />
          <span>It is active now</span>
        </label>
        <label class="check">
          <input type="checkbox" checked={draft.x402} onChange={(event) => set({ x402: event.currentTarget.checked })} />
          <span>
            It takes payments by x402 <span class="hint">Clients pay per request.</span>
          </span>
        </label>
      </fieldset>
    </>
  );
}

function Services({ services, change }: { services: Service[]; change: (services: Service[]) => void }) {
  const put = (at: number, part: Partial<Service>) => change(services.map((one, index) => (index === at ? { ...one, ...part } : one)));
  return (
    <fieldset class="services">
      <legend>Services</legend>
      <p class="hint">Where and how it is reached.</p>
      <datalist id="service-names">
        {SERVICE_NAMES.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {services.map((service, at) => (
        <div class="service" key={at}>
          <input
            aria-label={`Service ${at + 1}: name`}
            list="service-names"
            placeholder="A2A"
            autocomplete="off"
            value={service.name}
            onInput={(event) => put(at, { name: event.currentTarget.value })}
          />
          <input
            aria-label={`Service ${at + 1}: endpoint`}
            placeholder="https://example.com/.well-known/agent-card.json"
            autocomplete="off"
            spellcheck={false}
            value={service.endpoint}
            onInput={(event) => put(at, { endpoint: event.currentTarget.value })}
          />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove service ${at + 1}`}
            onClick={() => change(services.filter((_, index) => index !== at))}
          >
            ✕
          </button>
        </div>
      ))}
      <button type="button" onClick={() => change([...services, { name: "", endpoint: "", rest: {} }])}>
        Add a service
      </button>
    </fieldset>
  );
}

/** The pause after the last key, before the server is asked: answers are counted per caller. */
const PAUSE = 600;

/** What the server says of a text. */
export function useCheck(text: string, owner: string | undefined, chain: number | undefined) {
  const [state, set] = useState<{ text: string; checked: Checked | null; error: string | null }>({ text: "", checked: null, error: null });
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      try {
        const checked = await post<Checked>("/v1/registration-files/check", { text, owner, chain }, stop.signal);
        set({ text, checked, error: null });
      } catch (error) {
        if (!(error instanceof Problem)) return;
        set({ text, checked: null, error: error.message });
        if (error.after !== null && !stop.signal.aborted) timer = setTimeout(ask, error.after * 1000);
      }
    };
    timer = setTimeout(ask, PAUSE);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, owner, chain]);
  return { ...state, isFresh: state.text === text };
}

/** The file as it will stand, and what was found in it. */
export function Preview({ text, checked, error, begun = true }: { text: string; checked: Checked | null; error: string | null; begun?: boolean }) {
  return (
    <div class="preview">
      <h2 id="preview-title">The registration file</h2>
      {error ? <Alarm>{error}</Alarm> : null}
      <pre class="file" tabIndex={0} aria-labelledby="preview-title">
        {pretty(text)}
      </pre>
      {checked ? (
        <p class="soft">
          {bytes(checked.size)}, sha-256 <code title={checked.sha256}>{checked.sha256.slice(0, 12)}…</code>
        </p>
      ) : null}
      {begun ? <Warnings checked={checked} /> : <p class="soft">What you write appears here, with what a reader will find wrong in it.</p>}
    </div>
  );
}

export function Warnings({ checked }: { checked: Checked | null }) {
  if (!checked) return null;
  return (
    <div aria-live="polite">
      {checked.warnings.length === 0 ? (
        <Note tone="good">Follows ERC-8004 to the letter.</Note>
      ) : (
        <ul class="warnings">
          {checked.warnings.map((warning) => (
            <li key={warning.code + warning.pointer} data-level={warning.level}>
              <strong>{warning.level === "note" ? "Note" : warning.level === "violation" ? "Breaks the standard" : "Cannot be read"}:</strong>{" "}
              {warning.message} {warning.pointer === "" ? null : <code>{warning.pointer}</code>}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** Agents of this owner that are the same in something: said before anything is paid. */
export function Already({ checked, agreed, agree }: { checked: Checked | null; agreed: boolean; agree: (yes: boolean) => void }) {
  if (!checked || checked.already.length === 0) return null;
  return (
    <div class="alarm mild" role="status">
      <p>
        <strong>You may have registered this already.</strong> Registering again makes a second agent.
      </p>
      <ul>
        {checked.already.map(({ agent, same }) => (
          <li key={agent.id}>
            <a href={placeOf(agent)}>{titleOf(agent)}</a>: the same {same.join(" and ")}
          </li>
        ))}
      </ul>
      <label class="check">
        <input type="checkbox" checked={agreed} onChange={(event) => agree(event.currentTarget.checked)} />
        <span>Register another one all the same</span>
      </label>
    </div>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
