// How fast the package is, beside the same in plain JavaScript, in this runtime: instantiating it, reading a report, judging.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as plain from "./plain.mjs";

const here = import.meta.dirname;
const EVALUATOR = process.env.EVALUATOR;
const AT = Date.UTC(2024, 2, 25);
const ROUNDS = 7;
const ROUND = 200;
const BATCH = 16;

/** What was done last, so that none of it can be left out. */
export let done;

/** A report of about so many bytes: a real one's port records, again and again under other ports. */
function report(bytes) {
  const whole = JSON.parse(readFileSync(join(EVALUATOR, "tests/fixtures/resolver.json"), "utf8"));
  const records = whole.port.data;
  whole.port.data = [];
  for (let length = JSON.stringify(whole).length, at = 0; length < bytes; at += 1) {
    const record = { ...records[at % records.length], open_port_no: 1 + (at % 60_000) };
    whole.port.data.push(record);
    length += JSON.stringify(record).length + 1;
  }
  return new TextEncoder().encode(JSON.stringify(whole));
}

const median = (values) => values.sort((one, other) => one - other)[values.length >> 1];

/** How often a second each of these can be done: medians of rounds that take turns. */
function measure(tasks) {
  const rates = tasks.map(() => []);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [at, task] of tasks.entries()) {
      const start = performance.now();
      let count = 0;
      // Looking at the clock takes about half as long as judging.
      for (; performance.now() - start < ROUND; count += BATCH) for (let time = 0; time < BATCH; time += 1) done = task();
      // The first round warms up.
      if (round > 0) rates[at].push((count * 1000) / (performance.now() - start));
    }
  }
  return rates.map(median);
}

for (const name of ["policy", "gate"]) {
  const glue = await import(`../portcullis/wasm/${name}_bg.js`);
  const bytes = readFileSync(join(here, `../portcullis/wasm/${name}_bg.wasm`));
  const times = { compile: [], instantiate: [] };
  for (let round = 0; round < 25; round += 1) {
    // A custom section of its own for each: V8 remembers what bytes it has compiled.
    const fresh = Buffer.concat([bytes, Uint8Array.of(0, 3, 1, 120, round)]);
    const start = performance.now();
    const module = new WebAssembly.Module(fresh);
    const compiled = performance.now();
    new WebAssembly.Instance(module, { [`./${name}_bg.js`]: glue });
    times.compile.push(compiled - start);
    times.instantiate.push(performance.now() - compiled);
  }
  console.log(`${name}: compile ${median(times.compile).toFixed(2)} ms, instantiate ${median(times.instantiate).toFixed(3)} ms`);
}

const { Policy } = await import("portcullis");
const policy = new Policy();
const fixture = (name) => readFileSync(join(EVALUATOR, "tests/fixtures", name));

/** Makes sure that both say the same of these, and refuse the same. */
function agree() {
  const names = ["tor_exit", "clean", "c2_server", "scanner", "ssh_host", "reputation"];
  const known = names.map((name) => policy.assess(fixture(`${name}.json`), { at: AT }));
  const failure = { outcome: "bad_key", error: "" };
  const egress = { direction: "egress" };
  const ports = [null, 22, 55, 443].flatMap((port) => [{ port }, { port, ...egress }, { port, ...egress, product: "OpenSSH" }]);
  const request = { path: "/", method: "GET", host: "a", route: null };
  const ips = ["192.0.2.1", "2001:DB8:0::1", "::", "::ffff:192.0.2.7"].map((ip) => ({ ip, client: ip, ...request }));
  for (const assessment of [...known, failure]) {
    for (const connection of [...ports.map((port) => ({ ip: "192.0.2.9", ...port })), ...ips]) {
      assert.deepEqual(plain.decide(assessment, connection), policy.decide(assessment, connection));
    }
  }
  const clean = { outcome: "assessed", ip: "192.0.2.1", score: { inbound: 20, outbound: null } };
  for (const [assessment, connection, name] of [
    [undefined, {}, "this is no assessment"],
    [{ ...clean, outcome: "fine" }, {}, "this is no assessment"],
    [{ ...clean, findings: [{ code: "tor" }] }, {}, "this is no assessment"],
    [{ ...clean, score: { inbound: 30 } }, {}, "this is no assessment"],
    [failure, {}, "connection.ip"],
    ...["192.0.2", "192.0.2.256", "192.0.2.01", "1::2::3", "::1\n"].flatMap((ip) => [
      [clean, { ip }, "connection.ip"],
      [clean, { client: ip }, "connection.client"],
    ]),
    ...["product", "path", "method", "host", "route"].map((key) => [clean, { [key]: 1 }, `connection.${key}`]),
    ...["ip", "client", "direction"].map((key) => [clean, { [key]: 1 }, `connection.${key}`]),
    ...[-1, 65_536, 1.5].map((port) => [clean, { port }, "connection.port"]),
    [clean, { at: "noon" }, "connection.at"],
    [clean, { prt: 1 }, "connection.prt"],
  ]) {
    const isSaid = (problem) => problem instanceof TypeError && problem.message.startsWith(`${name}: `);
    for (const decide of [() => plain.decide(assessment, connection), () => policy.decide(assessment, connection)]) {
      assert.throws(decide, isSaid, `${name} ${JSON.stringify(connection)}`);
    }
  }
}

function line(what, ...tasks) {
  console.log(`${what.padEnd(16)}${measure(tasks).map((rate) => rate.toFixed(0).padStart(12)).join("")}`);
}

agree();
console.log("a second             package       plain   unchecked");
const connection = { port: 443, at: AT };
for (const [name, bytes] of [["25 kB", report(24_000)], ["700 kB", report(700_000)]]) {
  const read = policy.assess(bytes, { at: AT });
  assert.deepEqual(plain.assess(bytes, AT), read);
  line(`assess ${name}`, () => policy.assess(bytes, { at: AT }), () => plain.assess(bytes, AT));
  judge(name, read);
  line(
    `both ${name}`,
    () => policy.decide(policy.assess(bytes, { at: AT }), connection),
    () => plain.decide(plain.assess(bytes, AT), connection),
  );
}
judge("4 findings", policy.assess(fixture("tor_exit.json"), { at: AT }));

function judge(name, read) {
  const tasks = [
    () => policy.decide(read, connection),
    () => plain.decide(read, connection),
    () => plain.decideUnchecked(read, connection),
  ];
  for (const task of tasks) assert.deepEqual(task(), tasks[0]());
  line(`decide ${name}`, ...tasks);
}
