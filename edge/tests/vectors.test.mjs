// The vectors, in every runtime that the package has an entry for.
import assert from "node:assert/strict";
import http from "node:http";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { CHROMIUM, showing } from "./browser.mjs";
import { disagreements } from "./vectors.mjs";
import { Program } from "./processes.mjs";
import { listen, workerd } from "./rig.mjs";
import { BUN, DENO } from "./tools.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE = join(HERE, "../portcullis");
const EVALUATOR = process.env.EVALUATOR;

const fixtures = join(EVALUATOR, "tests/fixtures");
const vectors = {
  ...Object.fromEntries(
    ["verdicts", "addresses", "lists"].map((name) => [name, JSON.parse(readFileSync(join(EVALUATOR, `vectors/${name}.json`)))]),
  ),
  reports: Object.fromEntries(readdirSync(fixtures).map((name) => [name, readFileSync(join(fixtures, name), "utf8")])),
};

test("the vectors hold in Node", async () => {
  const portcullis = await import("portcullis");
  assert.deepEqual(disagreements(portcullis, vectors), []);
  assert.ok(vectors.verdicts.length > 20);
});

/** What a browser may run there: files of the server, and no text. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
const PAGE = '<!doctype html><script type="module" src="/tests/programs/vectors.browser.mjs"></script>';

/** Serves the vectors, and the package as a web server does; what a browser says of it goes to `said`. */
let said;
const fromBrowser = new Promise((resolve) => (said = resolve));
const server = await listen((request, response) => {
  const { pathname } = new URL(request.url, "http://vectors");
  const types = { js: "text/javascript", wasm: "application/wasm", json: "application/json", mjs: "text/javascript" };
  response.setHeader("content-type", types[pathname.split(".").at(-1)] ?? "text/plain");
  if (pathname === "/vectors.json") response.end(JSON.stringify(vectors));
  else if (pathname === "/page") response.writeHead(200, { "content-type": "text/html", "content-security-policy": POLICY }).end(PAGE);
  else if (pathname === "/favicon.ico") response.writeHead(404).end();
  else if (request.method === "POST") {
    let text = "";
    request.on("data", (part) => (text += part)).on("end", () => response.end(said(text)));
  } else response.end(readFileSync(pathname.startsWith("/tests/") ? join(HERE, pathname.slice(7)) : join(PACKAGE, pathname)));
});
const address = `http://127.0.0.1:${server.port}`;
test.after(() => server.close());

for (const [entry, from] of [
  ["the package as Deno finds it", "portcullis"],
  ["the package from a web server, as a browser loads it", `${address}/web.js`],
]) {
  test(`the vectors hold in Deno: ${entry}`, async () => {
    const args = ["run", "--quiet", "--no-lock", "--allow-net", "--allow-import", `--allow-read=${PACKAGE}`, join(HERE, "programs/vectors.deno.mjs"), from, address];
    const program = new Program(DENO, args, { cwd: HERE });
    assert.deepEqual(JSON.parse(await program.line((line) => line.match(/^disagreements: (.*)$/)?.[1])), []);
    assert.equal(await program.ended(), 0);
  });
}

test("the vectors hold in Chromium, whose page may evaluate no text", async (t) => {
  if (!CHROMIUM && !process.env.PORTCULLIS_BROWSER) return t.skip("chromium is not installed");
  const text = await showing(`${address}/page`, (program) =>
    Promise.race([fromBrowser, program.ended().then((code) => assert.fail(`it ended with ${code}:\n${program.lines.join("\n")}`))]),
  );
  assert.equal(text, "[]");
});

test("the vectors hold in Bun", async () => {
  const program = new Program(BUN, [join(HERE, "programs/vectors.bun.mjs"), address], { cwd: HERE });
  assert.deepEqual(JSON.parse(await program.line((line) => line.match(/^disagreements: (.*)$/)?.[1])), []);
  assert.equal(await program.ended(), 0);
});

test("the vectors hold in workerd", async () => {
  const program = workerd("vectors.workerd.mjs", {}, [["vectors.mjs", join(HERE, "vectors.mjs"), "esModule"]]);
  try {
    const port = await program.line((line) => line.match(/"port":\s*(\d+)/)?.[1]);
    const wrong = await new Promise((resolve, reject) => {
      const request = http.request({ port, method: "POST" }, (response) => {
        let text = "";
        response.on("data", (part) => (text += part)).on("end", () => resolve(text));
      });
      request.on("error", reject).end(JSON.stringify(vectors));
    });
    assert.equal(wrong, "[]");
  } finally {
    await program.stop();
  }
});

test("no file of the package evaluates text as a program", () => {
  const files = readdirSync(PACKAGE, { recursive: true }).filter((name) => name.endsWith(".js"));
  assert.ok(files.length > 8);
  for (const name of files) {
    const text = readFileSync(join(PACKAGE, name), "utf8");
    assert.doesNotMatch(text, /\beval\s*\(|new Function\b|setTimeout\s*\(\s*["'`]/, name);
  }
});
