// Small things that all pages show.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Agent } from "../api";
import { useTitle } from "../route";
import { ago, middle } from "../words";

/** Ticks once a second for everybody who shows how long ago something was. */
function useNow(): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => document.hidden || set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export function Time({ at }: { at: string | null | undefined }) {
  const now = useNow();
  if (!at) return <span class="soft">–</span>;
  return (
    <time dateTime={at} title={new Date(at).toISOString()}>
      {ago(at, now)}
    </time>
  );
}

const MARKS = { ACTIVE: "●", SLEEP: "◐", TERMINATED: "○" } as const;

export function StatusMark({ agent }: { agent: Pick<Agent, "runtime_status" | "burned"> }) {
  const word = agent.burned ? "BURNED" : agent.runtime_status;
  return (
    <span class="status" data-status={agent.runtime_status}>
      <span aria-hidden="true">{MARKS[agent.runtime_status]}</span> {word}
    </span>
  );
}

/** A picture of its own for every agent, drawn from its id: pictures elsewhere are not asked for. */
export function Picture({ agent, large }: { agent: { id: string; avatar_url?: string | null }; large?: boolean }) {
  const own = agent.avatar_url;
  if (own && /^data:image\/(png|jpeg|webp|gif|svg\+xml)[;,]/.test(own)) {
    return <img class={large ? "picture large" : "picture"} src={own} alt="" />;
  }
  const hex = agent.id.replaceAll("-", "");
  const at = (index: number) => parseInt(hex.slice(index * 2, index * 2 + 2), 16) || 0;
  const hue = (at(0) * 360) / 256;
  const cells = [];
  for (let column = 0; column < 3; column++) {
    for (let row = 0; row < 5; row++) {
      if (at(1 + column * 5 + row) % 2 === 0) continue;
      for (const x of column === 2 ? [2] : [column, 4 - column]) {
        cells.push(<rect key={`${x}-${row}`} x={x + 1} y={row + 1} width="1.03" height="1.03" />);
      }
    }
  }
  return (
    <svg class={large ? "picture large" : "picture"} viewBox="0 0 7 7" aria-hidden="true">
      <rect class="ground" width="7" height="7" rx="1" />
      <g fill={`hsl(${Math.round(hue)} 38% 48%)`}>{cells}</g>
    </svg>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, say] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => say(""), 1600);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("Not allowed");
    }
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`Copy ${what}`}>
      <span aria-live="polite">{said || "Copy"}</span>
    </button>
  );
}

/** A name that machines gave: shortened to look at, whole to copy. */
export function Code({ text, what, from = 8, to = 6, whole }: { text: string; what?: string; from?: number; to?: number; whole?: boolean }) {
  return (
    <span class="code">
      <code title={text}>{whole ? text : middle(text, from, to)}</code>
      {what ? <Copy text={text} what={what} /> : null}
    </span>
  );
}

/** An owner, who has a page here. */
export function Owner({ address, whole }: { address: string | null; whole?: boolean }) {
  if (address === null) return <span class="soft">not known</span>;
  return (
    <a class="code" href={`/owners/${address}`} title={address}>
      <code>{whole ? address : middle(address)}</code>
    </a>
  );
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) =>
        value === null || value === undefined || value === false ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

export function Alarm({ children }: { children: ComponentChildren }) {
  return (
    <div class="alarm" role="alert">
      {children}
    </div>
  );
}

export function Note({ children, tone = "plain" }: { children: ComponentChildren; tone?: "plain" | "warn" | "good" }) {
  return <div class={`note ${tone}`}>{children}</div>;
}

export function Nothing({ title, text, children }: { title: string; text: string; children?: ComponentChildren }) {
  useTitle(title);
  return (
    <section class="nothing">
      <h1>{title}</h1>
      <p>{text}</p>
      {children ?? (
        <p>
          <a href="/">All agents</a>
        </p>
      )}
    </section>
  );
}

export function Waiting({ what }: { what: string }) {
  return (
    <p class="waiting" role="status">
      Reading {what}…
    </p>
  );
}

/** A dialog that the browser keeps the focus in, and closes with Escape. */
export function Dialog({ title, open, close, children }: { title: string; open: boolean; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    if (!element) return;
    if (open && !element.open) element.showModal();
    if (!open && element.open) element.close();
  }, [open]);
  const outside = (event: MouseEvent) => void (event.target === dialog.current && close());
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={close} onClick={outside}>
      {open ? (
        <div class="sheet">
          <div class="heading">
            <h2 id="dialog-title">{title}</h2>
            <button type="button" class="quiet" onClick={close} aria-label="Close">
              ✕
            </button>
          </div>
          {children}
        </div>
      ) : null}
    </dialog>
  );
}
