// The gate of an isolate. What is decided is decided in `wasm/gate_bg.wasm`; here are the things that only JavaScript can
// do for it: send lookups, tell the time, ask other memories, and let requests wait.
//
// A request may wait for a lookup that another one has sent. The runtime may end any request's work at any time (its
// client leaves, its time is over), so no request relies on another's timers: each has its own, and whoever comes past
// sends what is due.
import { Doorway } from "../wasm/gate_bg.js";
import { bytesOf, sayMistakes } from "../document.js";

/** How many lookups the work behind one request sends: runtimes limit the calls of a request. */
const LOOKUPS_EACH = 20;

/** How long the work behind one request goes on, in milliseconds: runtimes end it after 30 seconds. */
const WORK_LIMIT = 25_000;

const random = () => crypto.getRandomValues(new BigUint64Array(1))[0];

export class Gate {
  #core;
  #settings;
  /** What to call with the decision of a stream that waits. */
  #waiting = new Map();
  #env;
  #cache;
  #kv;
  #log;

  /** `env` has the secrets and bindings, by name; `cache` is the name of a cache or one, `kv` that of a binding or one. */
  constructor(config, { env = {}, cache, kv, log = console } = {}) {
    try {
      this.#core = new Doorway(bytesOf(config), random());
    } catch (problem) {
      throw sayMistakes(problem);
    }
    this.#settings = JSON.parse(this.#core.settings());
    this.#env = env;
    this.#cache = cache;
    this.#kv = typeof kv === "string" ? env[kv] : kv;
    this.#log = log;
    this.#requireBindings(kv);
    for (const remark of this.#settings.without_effect) {
      log.warn(JSON.stringify({ event: "configuration", ...remark }));
    }
  }

  #requireBindings(kv) {
    const { key_env } = this.#settings;
    const missing = (name, path) => {
      throw sayMistakes(
        JSON.stringify([{ path, code: "missing_binding", message: `the environment has no ${JSON.stringify(name)}` }]),
      );
    };
    if (key_env && typeof this.#env[key_env] !== "string") missing(key_env, "api.key_env");
    if (typeof kv === "string" && !this.#kv) missing(kv, "");
  }

  /** The header that requests carry to the origin, and the one that responses carry to clients, if any. */
  get requestHeader() {
    return this.#settings.request_header;
  }

  get responseHeader() {
    return this.#settings.response_header;
  }

  /** What was counted so far: names of metrics, as docs/decisions.md has them, and their values. */
  counts() {
    return JSON.parse(this.#core.counts(Date.now()));
  }

  /**
   * Decides a request. `waitUntil` takes work that goes on after the response, `signal` tells that the client has left.
   * The answer may have a `tag` for the origin, and a `refusal` for the client, in which case the origin is not asked.
   */
  async decide({ peer, port, path, method, host, accept, contentType }, { waitUntil, signal }) {
    const arrived = Date.now();
    const facts = [peer ?? "", port ?? 0, path, method, host ?? "", accept ?? "", contentType ?? ""];
    const { stream, unknown, due, decided } = JSON.parse(this.#core.knock(...facts, arrived));
    if (due) waitUntil(this.#work(peer));
    const decision = unknown ? await this.#firstLook(stream, unknown, facts, arrived, waitUntil, signal) : decided[0];
    if (decision.log) this.#log[decision.log.level](decision.log.text);
    return decision;
  }

  async #firstLook(stream, peer, facts, arrived, waitUntil, signal) {
    const recalled = this.#recall(peer);
    if (recalled) {
      waitUntil(recalled);
      await withTimer(this.#settings.hold, (over) => Promise.race([recalled, over]));
    }
    const { decided } = JSON.parse(this.#core.admit(stream, ...facts, arrived));
    if (decided) {
      waitUntil(this.#after(recalled, peer));
      return decided[0];
    }
    const left = Math.max(0, arrived + this.#settings.hold - Date.now());
    let leave;
    const decision = new Promise((resolve, reject) => {
      this.#waiting.set(stream, resolve);
      leave = () => {
        this.#forget(stream);
        reject(signal.reason);
      };
      signal?.addEventListener("abort", leave);
    });
    waitUntil(this.#after(recalled, peer));
    try {
      return await withTimer(left, (over) => Promise.race([decision, over.then(() => this.#sweep(stream, decision))]));
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#waiting.delete(stream);
    }
  }

  /** The hold of a stream is over: its decision follows at once, at the latest when the clock agrees. */
  async #sweep(stream, decision) {
    while (this.#waiting.has(stream)) {
      this.#carryOut(this.#core.sweep(Date.now()));
      if (this.#waiting.has(stream)) await withTimer(1, (over) => over);
    }
    return decision;
  }

  #forget(stream) {
    this.#core.leave(stream);
    this.#waiting.delete(stream);
  }

  async #after(recalled, peer) {
    await recalled;
    await this.#work(peer);
  }

  /** Sends what is due until this peer needs no lookup any more. */
  async #work(peer) {
    const end = Date.now() + WORK_LIMIT;
    const sent = new Set();
    for (let left = LOOKUPS_EACH; ; ) {
      const { lookups = [], wake = 0 } = this.#carryOut(this.#core.next(left, Date.now()));
      left -= lookups.length;
      for (const lookup of lookups) {
        const call = this.#lookup(lookup).finally(() => sent.delete(call));
        sent.add(call);
      }
      const rest = end - Date.now();
      if (rest <= 0 || (left === 0 && sent.size === 0) || (sent.size === 0 && !this.#core.wants(peer))) break;
      await withTimer(Math.min(Math.max(wake, 5), rest), (over) => Promise.race([over, ...sent]));
    }
    await Promise.all(sent);
  }

  async #lookup({ id, path }) {
    const { keep } = this.#carryOut(await this.#call(id, path));
    if (keep) await this.#keep(keep);
  }

  /** Calls Criminal IP. Always brings orders of the core, whatever happens. */
  async #call(id, path) {
    const { cluster, authority, timeout, max_body, key, key_env } = this.#settings;
    const binding = this.#env[cluster];
    const secret = key ?? this.#env[key_env];
    const headers = { accept: "application/json", ...(secret && { "x-api-key": secret }) };
    const abort = new AbortController();
    let response;
    try {
      return await withTimer(timeout, async (over) => {
        over.then(() => abort.abort());
        const request = new Request(`https://${authority}${path}`, { headers, redirect: "manual", signal: abort.signal });
        response = await (typeof binding?.fetch === "function" ? binding.fetch(request) : fetch(request));
        const body = await readUpTo(response.body, max_body);
        if (!body) return this.#core.failed(id, "too_large", Date.now());
        return this.#core.answered(id, response.status, body, response.headers.get("retry-after") ?? "", Date.now());
      });
    } catch {
      const code = abort.signal.aborted ? "timeout" : response ? "reset" : "connection";
      return this.#core.failed(id, code, Date.now());
    }
  }

  #carryOut(text) {
    const orders = JSON.parse(text);
    for (const decision of orders.decided ?? []) {
      this.#waiting.get(decision.stream)?.(decision);
      this.#waiting.delete(decision.stream);
    }
    return orders;
  }

  /** Asks the memories outside of the isolate about a peer; nothing where there are none. */
  #recall(peer) {
    if (!this.#cache && !this.#kv) return undefined;
    return withTimer(this.#settings.timeout, (over) => Promise.race([over, this.#askMemories(peer)]));
  }

  async #askMemories(peer) {
    const tell = (fact) => fact && this.#carryOut(this.#core.recall(peer, fact, Date.now()));
    try {
      const cached = await (await this.#openCache())?.match(this.#address(peer));
      const fact = cached ? await cached.text() : await this.#kv?.get(this.#name(peer));
      return tell(fact);
    } catch (problem) {
      this.#complain(problem);
    }
  }

  async #keep({ peer, fact, seconds }) {
    const headers = { "cache-control": `max-age=${seconds}`, "content-type": "text/plain" };
    // The shortest that Workers KV keeps a value for is a minute.
    const expirationTtl = Math.max(60, seconds);
    const stores = [
      this.#openCache().then((cache) => cache?.put(this.#address(peer), new Response(fact, { headers }))),
      this.#kv?.put(this.#name(peer), fact, { expirationTtl }),
    ];
    for (const { reason } of await Promise.allSettled(stores)) if (reason) this.#complain(reason);
  }

  async #openCache() {
    return typeof this.#cache === "string" ? caches.open(this.#cache) : this.#cache;
  }

  #name(peer) {
    return `portcullis/facts/${this.#settings.layout}/${peer}`;
  }

  /** A cache wants addresses. In a cache of its own this one meets nobody else's. */
  #address(peer) {
    return `https://${this.#settings.authority}/${this.#name(encodeURIComponent(peer))}`;
  }

  #complain(problem) {
    this.#log.warn(JSON.stringify({ event: "memory", error: String(problem?.message ?? problem) }));
  }
}

/** Gives `use` a promise that is kept after so many milliseconds, and clears the timer when its work is done. */
async function withTimer(milliseconds, use) {
  let timer;
  const over = new Promise((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    return await use(over);
  } finally {
    clearTimeout(timer);
  }
}

/** The whole body, or nothing where it is longer. */
async function readUpTo(body, most) {
  const parts = [];
  let length = 0;
  if (!body) return new Uint8Array();
  for (const reader = body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > most) {
      await reader.cancel();
      return undefined;
    }
    parts.push(value);
  }
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Throws the mistakes of a configuration. */
export function check(config) {
  try {
    new Doorway(bytesOf(config), 0n).free();
  } catch (problem) {
    throw sayMistakes(problem);
  }
}
