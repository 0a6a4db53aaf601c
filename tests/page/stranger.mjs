// A stranger's server on this machine: his pages, and the cookies that browsers bring him.

import { createServer, request } from "node:http";
import { connect } from "node:net";

const PAGE = '<!doctype html><meta charset="utf-8"><title>Stranger</title><body></body>';

/**
 * Listens. What is asked for under the name that he bends (DNS rebinding), and is none of his own pages, goes to the
 * instance as it came.
 */
export async function listen(base, bent) {
  const { hostname, port } = new URL(base);
  const pages = {
    "/stranger": [{}, PAGE],
    "/stranger/sandboxed": [{ "content-security-policy": "sandbox allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox" }, PAGE],
    // The instance's document, without what keeps it out of frames.
    "/stranger/copy": [{}, await (await fetch(`${base}/`)).text()],
  };
  const cookies = new Set();
  const server = createServer((asked, answer) => {
    if (asked.headers.cookie !== undefined) cookies.add(asked.headers.cookie);
    const page = pages[new URL(asked.url, base).pathname];
    if (page !== undefined) {
      answer.writeHead(200, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", ...page[0] }).end(page[1]);
      return;
    }
    if (asked.headers.host !== new URL(bent).host) {
      answer.writeHead(404).end();
      return;
    }
    const passed = request({ hostname, port, method: asked.method, path: asked.url, headers: asked.headers }, (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  server.on("upgrade", (asked, socket) => {
    const passed = connect(Number(port), hostname, () => {
      const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
      for (let at = 0; at < asked.rawHeaders.length; at += 2) lines.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
      passed.write(`${lines.join("\r\n")}\r\n\r\n`);
      socket.pipe(passed).pipe(socket);
    });
    for (const one of [passed, socket]) one.on("error", () => (passed.destroy(), socket.destroy()));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  /** Asks the instance himself: a program says of itself what it likes. */
  const ask = (method, path, headers, body) =>
    new Promise((done, failed) => {
      const asked = request({ hostname, port, method, path, headers: { ...headers, "content-type": "application/json" } }, async (answer) => {
        let got = "";
        for await (const part of answer) got += part;
        done({ status: answer.statusCode, got });
      });
      asked.on("error", failed);
      asked.end(body);
    });
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { port: server.address().port, cookies, ask, close };
}
