import { render } from "preact";
import { App } from "./app";
import { start } from "./live";
import { discover } from "./wallet";

start();
discover();
const place = document.getElementById("page");
if (place) render(<App />, place);
