// Which page is shown: the path, with links followed here and the focus led along.

import { useEffect } from "preact/hooks";
import { Shared } from "./shared";

const place = new Shared(location.href);

const tell = () => place.set(location.href);

addEventListener("popstate", tell);

/** Goes to a page of ours. */
export function go(path: string, replace = false) {
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  if (!replace) scrollTo(0, 0);
  tell();
}

/** Paths that the page answers itself; all others are the instance's own. */
const OURS = /^\/($|register$|office$|watches$|agents\/|owners\/|transactions\/)/;

addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest("a");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  const stays = link.pathname === location.pathname && link.hash !== "";
  if (stays || !OURS.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
});

/** The path without its slash at the end, and the query. */
export function useRoute(): { parts: string[]; path: string; query: URLSearchParams } {
  place.use();
  const parts = location.pathname.split("/").filter(Boolean).map(decode);
  return { parts, path: location.pathname, query: new URLSearchParams(location.search) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Names the page, for its tab and for who hears it. */
export function useTitle(title: string) {
  useEffect(() => {
    document.title = title === "" ? "Chancery" : `${title} · Chancery`;
  }, [title]);
}
