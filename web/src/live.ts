// What changes is told by one stream of events for all tabs of this browser: the tab that holds the
// lock listens, and passes on what it hears.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, Problem, type Change } from "./api";

export type Pulse = "waiting" | "live" | "lost";

type Message = { pulse: Pulse } | { change: Change } | { ask: true };

const CHANNEL = "chancery-changes";
const STREAM = "/v1/changes?level=head";

const heard = new Set<(change: Change) => void>();
const felt = new Set<(pulse: Pulse) => void>();
let pulse: Pulse = "waiting";

const channel = "BroadcastChannel" in self ? new BroadcastChannel(CHANNEL) : null;
let leads = false;

function feel(next: Pulse) {
  if (next !== pulse) {
    pulse = next;
    for (const tell of felt) tell(next);
  }
  if (leads) channel?.postMessage({ pulse } satisfies Message);
}

function hear(change: Change) {
  for (const tell of heard) tell(change);
  if (leads) channel?.postMessage({ change } satisfies Message);
}

function listen() {
  const source = new EventSource(STREAM);
  source.onopen = () => feel("live");
  source.onerror = () => {
    feel("lost");
    // Closed for good, as by a proxy's error page: browsers come back by themselves only after a break.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
  const take = (event: MessageEvent<string>) => {
    feel("live");
    try {
      hear(JSON.parse(event.data) as Change);
    } catch {
      // What is no JSON is no change; the next look at the lists shows what there is.
    }
  };
  for (const kind of ["changed", "undone"]) source.addEventListener(kind, take as EventListener);
}

channel?.addEventListener("message", ({ data }: MessageEvent<Message>) => {
  if ("ask" in data) {
    if (leads) channel.postMessage({ pulse } satisfies Message);
  } else if (leads) return;
  else if ("pulse" in data) feel(data.pulse);
  else hear(data.change);
});

/** Begins; to be called once. */
export function start() {
  if (channel && navigator.locks) {
    void navigator.locks.request(CHANNEL, () => {
      leads = true;
      listen();
      return new Promise(() => {});
    });
    channel.postMessage({ ask: true } satisfies Message);
  } else {
    listen();
  }
}

export function usePulse(): Pulse {
  const [now, set] = useState(pulse);
  useEffect(() => {
    felt.add(set);
    set(pulse);
    return () => void felt.delete(set);
  }, []);
  return now;
}

/** Calls back with every change at the head. */
export function useChanges(tell: (change: Change) => void) {
  const last = useRef(tell);
  last.current = tell;
  useEffect(() => {
    const listener = (change: Change) => last.current(change);
    heard.add(listener);
    return () => void heard.delete(listener);
  }, []);
}

export interface Read<T> {
  data: T | null;
  error: Error | null;
  reload: () => void;
}

/** What was read last, so that who comes back sees it at once. */
const kept = new Map<string, unknown>();
const KEPT = 40;

function keep(path: string, data: unknown) {
  kept.delete(path);
  kept.set(path, data);
  const oldest = kept.keys().next();
  if (kept.size > KEPT && !oldest.done) kept.delete(oldest.value);
}

/** How often something is read again. Answers are counted per caller, so the page asks seldom, and at once when it hears of a change. */
export interface Pace {
  /** Whether a change is a reason to read again. */
  minds?: (change: Change) => boolean;
  /** At most so long after the last time, while the tab is looked at. */
  every?: number;
  /** Changes that come within this time of the last reading wait for its end. */
  rest?: number;
}

const SELDOM = 60_000;
/** Without the stream nobody says that something changed. */
const UNTOLD = 15_000;
const REST = 2_000;
/** Changes of one block come together. */
const TOGETHER = 80;

/** Reads a path now, and again at its pace. No path, no question. */
export function useRead<T>(path: string | null, { minds, every = SELDOM, rest = REST }: Pace = {}): Read<T> {
  const [state, set] = useState<{ path: string | null; data: T | null; error: Error | null }>({ path, data: null, error: null });
  const [turn, again] = useState(0);
  const reload = useCallback(() => again((n) => n + 1), []);
  const last = useRef(0);
  const soon = useRef<ReturnType<typeof setTimeout> | null>(null);
  const feels = usePulse();

  const later = useCallback(
    (ms: number) => {
      soon.current ??= setTimeout(() => {
        soon.current = null;
        reload();
      }, ms);
    },
    [reload],
  );
  useEffect(() => () => void (soon.current && clearTimeout(soon.current)), []);

  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    last.current = Date.now();
    get<T>(path, stop.signal).then(
      (data) => {
        keep(path, data);
        if (!stop.signal.aborted) set({ path, data, error: null });
      },
      (error: Error) => {
        if (stop.signal.aborted) return;
        const after = error instanceof Problem ? error.after : null;
        if (after !== null) later(after * 1000);
        // Who only has to wait sees what was read last.
        set((was) => ({ path, data: was.path === path ? was.data : null, error: after !== null && was.data ? was.error : error }));
      },
    );
    return () => stop.abort();
  }, [path, turn]);

  const interval = feels === "live" ? every : Math.min(every, UNTOLD);
  useEffect(() => {
    const look = () => void (document.hidden || reload());
    const timer = setInterval(look, interval);
    const seen = () => void (Date.now() - last.current > REST && look());
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [interval, reload]);

  useChanges((change) => {
    if (path === null || !minds?.(change)) return;
    later(Math.max(TOGETHER, last.current + rest - Date.now()));
  });

  const current = state.path === path ? state : { data: null, error: null };
  const data = current.data ?? ((path !== null ? (kept.get(path) as T | undefined) : undefined) ?? null);
  return { data, error: current.error, reload };
}
