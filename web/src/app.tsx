import { useEffect, useRef } from "preact/hooks";
import { useRoute } from "./route";
import { Footer, Masthead } from "./parts/frame";
import { Nothing } from "./parts/show";
import { ActionPage } from "./pages/action";
import { AgentPage } from "./pages/agent";
import { AgentsPage } from "./pages/agents";
import { OfficePage } from "./pages/office";
import { OwnerPage } from "./pages/owner";
import { RegisterPage } from "./pages/register";
import { TransactionPage } from "./pages/transaction";
import { WatchesPage } from "./pages/watches";

export function App() {
  const { parts, path } = useRoute();
  const main = useRef<HTMLElement>(null);
  const before = useRef(path);
  useEffect(() => {
    // Who came here by a link hears the new page from its beginning.
    if (before.current !== path) main.current?.focus({ preventScroll: true });
    before.current = path;
  }, [path]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Masthead path={path} />
      <main id="main" ref={main} tabIndex={-1} key={path}>
        <Page parts={parts} />
      </main>
      <Footer />
    </>
  );
}

function Page({ parts }: { parts: string[] }) {
  const [first, second, third] = parts;
  switch (first) {
    case undefined:
      return <AgentsPage />;
    case "register":
      return <RegisterPage />;
    case "office":
      return <OfficePage />;
    case "watches":
      return <WatchesPage />;
    case "owners":
      if (second !== undefined) return <OwnerPage owner={second} />;
      break;
    case "agents":
      if (second !== undefined && third === undefined) return <AgentPage name={second} />;
      if (second !== undefined && third !== undefined) return <ActionPage name={second} action={third} />;
      break;
    case "transactions":
      if (second !== undefined && third !== undefined) return <TransactionPage chain={second} tx={third} />;
      break;
  }
  return <Nothing title="There is no such page" text="The address leads nowhere here." />;
}
