// Judging reports, over the module `wasm/policy_bg.wasm`. The entry for the runtime loads the module before this is used.
import * as core from "./wasm/policy_bg.js";
import { bytesOf, ConfigError, sayMistakes } from "./document.js";
import { checkConnection, isIpv4, lettersOf, levelOf, misuse, shown } from "./given.js";

export { ConfigError };

/** What a refusal of the core is: it throws text. */
const sayMisuse = (problem) => (typeof problem === "string" ? new TypeError(problem) : problem);

const attempt = (what, say) => {
  try {
    return what();
  } catch (problem) {
    throw say(problem);
  }
};

/** What the core's decision has beside the place of the rule: that there is more to ask for. */
const SHOWS = 1 << 29;
const RULE = SHOWS - 1;

const NOTHING = { suspicious: null, verdict: null, rule: null, shows: [] };

const NO_LEVELS = { inbound: null, outbound: null };

/** So many decisions are remembered at most. */
const MOST = 1024;

const address = (ip, path) => attempt(() => core.address(ip, path), sayMisuse);

export class Policy {
  #core;
  #terms;
  #bits;
  #rules;
  #decisions = new Map();

  constructor(config = {}) {
    this.#core = attempt(() => new core.Policy(bytesOf(config)), sayMistakes);
    this.#terms = JSON.parse(this.#core.terms());
    this.#bits = new Map(this.#terms.findings.map((code, place) => [code, 1 << place]));
    this.#rules = this.#terms.rules.map(([rule, verdict]) => ({ suspicious: verdict !== "allow", verdict, rule }));
  }

  assess(report, { status = 200, at = Date.now() } = {}) {
    return JSON.parse(core.assess(status, bytesOf(report), Number(at)));
  }

  decide(assessment, connection = {}) {
    checkConnection(connection);
    const outcome = assessment?.outcome;
    if (typeof outcome !== "string") throw misuse("this is no assessment", shown(assessment));
    const ip = connection.ip ?? assessment.ip;
    if (typeof ip !== "string") throw misuse("connection.ip", "the report names no address, so the connection has to");
    if (connection.client) address(connection.client, "connection.client");
    const terms = this.#terms;
    const isRead = outcome === "assessed";
    if (!isRead && !terms.failures.includes(outcome)) {
      throw misuse("this is no assessment", `there is no outcome ${shown(outcome)}`);
    }
    const direction = connection.direction ?? terms.direction;
    const port = connection.port ?? null;
    const { inbound, outbound } = (isRead ? assessment.score : null) ?? NO_LEVELS;
    const score = { inbound: levelOf(inbound), outbound: levelOf(outbound) };
    const findings = [];
    const bits = isRead ? this.#read(assessment[terms.evidence] ?? [], findings) : 0;
    const { suspicious, verdict, rule, shows } = isRead
      ? this.#decision(bits, score, direction === "egress", port ?? -1, assessment, connection)
      : NOTHING;
    for (const { code, detail } of shows) findings.push({ code, detail });
    const about = isIpv4(ip) || core.isAsJudged(ip) ? { ip, link: terms.pages + ip } : JSON.parse(address(ip, "connection.ip"));
    return { ip: about.ip, port, suspicious, verdict, rule, profile: terms.profile, direction, score, findings, outcome, link: about.link };
  }

  /**
   * The rule that decides, and what the connection shows. Only numbers and short texts cross the border to the core: JSON would
   * take many times as long as judging does. Remembering what it said of the same takes a tenth of that.
   */
  #decision(bits, { inbound, outbound }, egress, port, { asn, country }, { product, path, method, host, at }) {
    const level = egress ? 6 + (outbound ?? 0) / 20 : (inbound ?? 0) / 20;
    // In one number below 2 ** 53: a port or none, one of six levels in one of two directions, and 32 bits.
    const key = ((port + 1) * 12 + level) * 2 ** 32 + (bits >>> 0);
    const isRepeatable = this.#terms.repeatable && typeof product !== "string";
    const known = isRepeatable ? this.#decisions.get(key) : undefined;
    if (known !== undefined) return known;
    const decided = this.#core.decide(
      bits, inbound ?? 0, outbound ?? 0, asn ?? 0, lettersOf(country), egress, port, Number(at ?? Date.now()),
      product, path, method, host,
    );
    const shows = decided & SHOWS ? JSON.parse(this.#core.found(egress, port, product)) : [];
    const decision = { ...this.#rules[decided & RULE], shows };
    if (isRepeatable) {
      if (this.#decisions.size === MOST) this.#decisions.clear();
      this.#decisions.set(key, decision);
    }
    return decision;
  }

  /** The bits of these findings, which are added to those of the judgement. */
  #read(evidence, findings) {
    let bits = 0;
    for (const { code, detail = null } of evidence) {
      const bit = this.#bits.get(code);
      if (bit === undefined) throw misuse("this is no assessment", `there is no finding ${shown(code)}`);
      bits |= bit;
      findings.push({ code, detail });
    }
    return bits;
  }
}

export class List {
  #core;

  constructor(entries) {
    this.#core = attempt(() => new core.List(bytesOf(entries)), sayMistakes);
  }

  match(address, { at = Date.now() } = {}) {
    const found = attempt(() => this.#core.match(String(address), Number(at)), sayMisuse);
    return found === undefined ? null : JSON.parse(found);
  }

  get size() {
    return this.#core.size;
  }
}

export const parseList = (entries) => new List(entries);

export const isPublic = (address) => attempt(() => core.isPublic(String(address)), sayMisuse);
