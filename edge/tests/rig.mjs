// A rig: the stand-in for Criminal IP, an origin, memories, and one runtime with the gate before the origin.
import http from "node:http";
import { readFileSync, readdirSync, writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";
import { eventually, Program } from "./processes.mjs";
import { BUN, DENO, WORKERD } from "./tools.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE = join(HERE, "../portcullis");

export const RUNTIMES = ["workerd", "deno", "node", "bun"];

/** Rigs at a time: most of what a test does is waiting. */
const CONCURRENCY = 6;

/** Tests in every runtime. `define` gets the runtime, and a function that defines a test in a rig of its own; all have `common`
    in their configuration. */
export const everywhere = (define, common = {}) =>
  describe("in every runtime", { concurrency: CONCURRENCY }, () => {
    for (const runtime of RUNTIMES) {
      define(runtime, (name, config, options, run) =>
        test(`${runtime}: ${name}`, async () => {
          const rig = await Rig.start(runtime, configuration({ ...common, ...config }), options);
          try {
            await run(rig);
          } finally {
            await rig.stop();
          }
        }),
      );
    }
  });

export const PEER = "cf-connecting-ip";
export const peer = { CLEAN: "192.0.2.10", TOR: "192.0.2.20", SCANNER: "192.0.2.30", C2: "192.0.2.40", CRITICAL: "192.0.2.50" };

/** For tests that are not about the hold, which a busy machine needs all of. */
export const PATIENT = { hold: "60s" };

const DOCUMENTATION = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

/** A configuration in which the documentation ranges stand for public addresses, and lookups have all the time they take. */
export function configuration({ api, scope, ...changes } = {}) {
  return {
    api: { cluster: "criminalip", authority: "api.criminalip.test", key_env: "CRIMINALIP_API_KEY", timeout: "60s", ...api },
    scope: { treat_as_public: DOCUMENTATION, ...scope },
    ...changes,
  };
}

/** The stand-in, which is told what to do over HTTP. */
export class Fake {
  static async start(...args) {
    const fake = new Fake();
    fake.program = new Program(process.env.FAKE_CRIMINALIP, args);
    fake.address = await fake.program.line((line) => line.match(/^listening on (.*)$/)?.[1]);
    return fake;
  }

  async #control(method, path, body) {
    const response = await fetch(`${this.address}/_control/${path}`, { method, body: body && JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
    return response.status === 200 ? response.json() : undefined;
  }

  tell = (rule) => this.#control("POST", "rules", rule);
  forgetRules = () => this.#control("DELETE", "rules");
  release = () => this.#control("POST", "release");
  settings = (settings) => this.#control("PUT", "settings", settings);
  calls = async (ip) => (await this.#control("GET", "calls")).filter((call) => !ip || call.ip === ip);
  waitForCalls = (count, ip) =>
    eventually(async () => {
      const calls = await this.calls(ip);
      if (calls.length < count) throw new Error(`${calls.length} calls of ${count}`);
      return calls;
    });
  stop = () => this.program.stop();
}

/** Listens on a port that the system chooses. */
export async function listen(listener) {
  const server = http.createServer(listener);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.port = server.address().port;
  return server;
}

/** An origin that says what reached it. */
function origin(seen) {
  return listen((request, response) => {
    let bytes = 0;
    request.on("data", (part) => (bytes += part.length));
    request.on("end", () => {
      const { method, url, rawHeaders, rawTrailers } = request;
      seen.push(url);
      const tags = rawHeaders.filter((_, at) => at % 2 && rawHeaders[at - 1].toLowerCase() === "x-criminalip");
      const peers = rawHeaders.filter((_, at) => at % 2 && rawHeaders[at - 1].toLowerCase() === "x-peer");
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ method, url, tags, peers, bytes, trailers: rawTrailers }));
    });
  });
}

/** A runtime with the gate before the origin. */
export class Rig {
  seen = [];

  /** `memories` says whether it has a key-value store, and `store` may be that of another rig. */
  static async start(runtime, config, options = {}) {
    const rig = new Rig();
    try {
      await rig.#start(runtime, config, options);
      return rig;
    } catch (problem) {
      await rig.stop();
      throw problem;
    }
  }

  async #start(runtime, config, { fake, concurrency = 1, memories = false, store = new Map(), env = {} }) {
    this.fake = fake ?? (await Fake.start("--concurrency", `${concurrency}`));
    this.ownsFake = !fake;
    this.store = store;
    this.origin = await origin(this.seen);
    this.memory = await listen(memory(store));
    const setup = {
      config,
      memories,
      env: { CRIMINALIP_API_KEY: "stand-in-key", ...env },
      fake: this.fake.address,
      origin: `http://127.0.0.1:${this.origin.port}`,
      memory: `http://127.0.0.1:${this.memory.port}`,
    };
    this.program = await START[runtime](setup);
    this.port = await this.program.line((line) => line.match(/"port":\s*(\d+)/)?.[1]);
  }

  /** Sends a request of this peer; gives status, headers, text, and what the origin saw where it was reached. */
  ask(from, { path = "/", method = "GET", headers = {}, body, signal } = {}) {
    return new Promise((resolve, reject) => {
      const options = { port: this.port, path, method, headers: { ...(from && { [PEER]: from }), ...headers }, signal, agent: false };
      const request = http.request(options, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part) => (text += part));
        response.on("error", reject).on("end", () => {
          const isOrigins = response.statusCode === 200 && response.headers["content-type"] === "application/json";
          resolve({ status: response.statusCode, headers: response.headers, text, origin: isOrigins && JSON.parse(text) });
        });
      });
      request.on("error", reject).end(body);
    });
  }

  /** The line that explains the decision about this peer. */
  decision(from, more = () => true) {
    return this.program.line((line) => {
      const at = line.indexOf('{"event":"decision"');
      const decision = at >= 0 && JSON.parse(line.slice(at, line.lastIndexOf("}") + 1));
      return decision && decision.peer === from && more(decision) && decision;
    });
  }

  async stop() {
    await this.program?.stop();
    if (this.ownsFake) await this.fake.stop();
    for (const server of [this.origin, this.memory]) {
      server?.closeAllConnections();
      server?.close();
    }
  }
}

/** A key-value store as workerd speaks to it, and a cache as it speaks to that; Deno and Node use the former as well. */
function memory(store) {
  return async (request, response) => {
    const chunks = [];
    for await (const part of request) chunks.push(part);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url, "http://memory");
    const isCache = "host" in request.headers && request.headers.host.endsWith(".test");
    const key = isCache ? `cache:${url.pathname}` : decodeURIComponent(url.pathname.slice(1));
    if (request.method === "PUT") {
      const seconds = isCache ? body.toString().match(/max-age=(\d+)/i)?.[1] : url.searchParams.get("expiration_ttl");
      const text = isCache ? body.toString().split("\r\n\r\n").at(-1) : body.toString();
      store.set(key, { text: text.match(/[0-9a-f]{20,}/)?.[0] ?? text, seconds: Number(seconds) });
      response.writeHead(isCache ? 204 : 200).end();
    } else if (store.has(key)) {
      const { text } = store.get(key);
      response.writeHead(200, isCache ? { "cf-cache-status": "HIT" } : {}).end(text);
    } else {
      response.writeHead(isCache ? 504 : 404, isCache ? { "cf-cache-status": "MISS" } : {}).end();
    }
  };
}

const program = (name) => join(HERE, "programs", name);

const START = {
  deno: (setup) => new Program(DENO, ["run", "--quiet", "--allow-net", program("guarded.deno.mjs"), JSON.stringify(setup)]),
  bun: (setup) => new Program(BUN, [program("guarded.node.mjs"), JSON.stringify(setup)]),
  node: (setup) => new Program(process.execPath, [program("guarded.node.mjs"), JSON.stringify(setup)]),
  workerd: (setup) => workerd("guarded.workerd.mjs", setup),
};

/** Starts workerd with a program over the whole package. */
export function workerd(main, { config, memories, env, fake, origin, memory }, files = []) {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-edge-"));
  const embed = (name, path, kind) => `(name = ${JSON.stringify(name)}, ${kind} = embed ${JSON.stringify(relative(folder, path))})`;
  const texts = { "config.json": JSON.stringify(config ?? {}), "setup.json": JSON.stringify({ memories }) };
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
  const modules = [
    embed("main.mjs", program(main), "esModule"),
    ...Object.keys(texts).map((name) => embed(name, join(folder, name), "json")),
    ...readdirSync(PACKAGE, { recursive: true })
      .filter((name) => /\.(js|wasm)$/.test(name))
      .map((name) => embed(`portcullis/${name}`, join(PACKAGE, name), name.endsWith(".wasm") ? "wasm" : "esModule")),
    ...files.map(([name, path, kind]) => embed(name, path, kind)),
  ];
  const external = (name, url) => url && `(name = "${name}", external = (address = "${new URL(url).host}", http = ()))`;
  const bindings = [
    ...Object.entries(env ?? {}).map(([name, text]) => `(name = "${name}", text = "${text}")`),
    fake && `(name = "criminalip", service = "criminalip")`,
    memory && `(name = "FACTS", kvNamespace = "memory")`,
  ].filter(Boolean);
  const services = [external("criminalip", fake), external("origin", origin), external("memory", memory)].filter(Boolean);
  writeFileSync(
    join(folder, "workerd.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)${services.map((service) => `, ${service}`).join("")}],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = [${modules.join(",\n")}],
  compatibilityDate = "2026-11-01",
  ${origin ? `globalOutbound = "origin",` : ""}
  ${memory ? `cacheApiOutbound = "memory",` : ""}
  bindings = [${bindings.join(", ")}]
);
`,
  );
  return new Program(WORKERD, ["serve", "--control-fd=3", "--experimental", join(folder, "workerd.capnp")]);
}

export const read = (path) => readFileSync(join(HERE, path));
