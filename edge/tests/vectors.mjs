// The vectors, in whichever runtime this is. Returns what disagrees.

export function disagreements({ Policy, parseList, isPublic, ConfigError }, { verdicts, addresses, lists, reports }) {
  const wrong = [];
  const expect = (name, found, expected) => {
    const [one, other] = [canonical(found), canonical(expected)];
    if (one !== other) wrong.push(`${name}: ${one}, but should be ${other}`);
  };
  for (const { name, config, report, status, at, connection, assessment, judgement } of verdicts) {
    const when = new Date(at);
    const policy = new Policy(config);
    const read = policy.assess(reports[report], { status, at: when });
    expect(`${name}, assessment`, read, assessment);
    expect(`${name}, judgement`, policy.decide(read, { ...connection, at: when }), judgement);
    const stored = JSON.parse(JSON.stringify(read));
    expect(`${name}, judgement of what was stored`, policy.decide(stored, { ...connection, at: when, route: null }), judgement);
  }
  remembered(Policy, verdicts, expect);
  for (const [kind, expected] of [["public", true], ["special", false], ["none", "TypeError"]]) {
    for (const address of addresses[kind]) expect(address, outcome(() => isPublic(address)), expected);
  }
  const bare = { outcome: "assessed", score: {} };
  for (const ip of addresses.none) expect(`a judgement of ${ip}`, outcome(() => new Policy().decide(bare, { ip })), "TypeError");
  const list = parseList(lists.entries);
  expect("size", list.size, lists.entries.length);
  for (const { address, at, cidr, owner } of lists.matches) {
    const found = list.match(address, { at: new Date(at) });
    expect(`${address} at ${at}`, found && [found.cidr, found.owner], cidr && [cidr, owner]);
  }
  for (const { entries, path, code } of lists.mistakes) {
    try {
      parseList(entries);
      wrong.push(`${JSON.stringify(entries)} should be refused`);
    } catch (problem) {
      expect(path, problem instanceof ConfigError && [problem.mistakes[0].path, problem.mistakes[0].code], [path, code]);
    }
  }
  expect("a configuration with a mistake", outcome(() => new Policy({ modus: 1 })), "ConfigError");
  misuse(new Policy(), expect);
  return wrong;
}

const LEVELS = [null, 20, 40, 60, 80, 100];

/** What was decided before is decided again, and nothing else: with a product, even an empty one, nothing is remembered. */
function remembered(Policy, verdicts, expect) {
  const configs = new Map(verdicts.map(({ config }) => [JSON.stringify(config), config]));
  const compare = (name, policy, assessment, connection) => {
    const [again, anew] = [connection, { ...connection, product: "" }].map((given) => policy.decide(assessment, given));
    expect(`${name}, ${JSON.stringify(connection)}`, again, anew);
  };
  for (const [name, config] of configs) {
    const policy = new Policy(config);
    for (const { assessment } of verdicts) {
      for (const { connection, at } of verdicts) {
        const { product, ...rest } = connection;
        const all = { ip: "192.0.2.9", ...rest, at: new Date(at) };
        for (const direction of ["ingress", "egress"]) compare(name, policy, assessment, { ...all, direction });
      }
    }
    const [{ assessment }] = verdicts;
    for (const inbound of LEVELS) {
      for (const outbound of LEVELS) {
        const rated = { ...assessment, score: { inbound, outbound } };
        for (const direction of ["ingress", "egress"]) compare(name, policy, rated, { direction });
      }
    }
    for (let port = 0; port < 1500; port += 1) compare(name, policy, assessment, { port: port % 1100, direction: "egress" });
    const shown = () => policy.decide(assessment, { port: 22, direction: "egress" }).findings[0];
    shown().detail = "changed by whoever asked";
    expect("what a port shows", shown().detail, "destination port 22");
  }
}

/** What is wrong with something given is said, with its path. */
function misuse(policy, expect) {
  const clean = { outcome: "assessed", ip: "192.0.2.1", score: { inbound: 20, outbound: null } };
  for (const [assessment, connection, problem] of [
    [undefined, {}, "this is no assessment: "],
    [[], {}, "this is no assessment: "],
    [{}, {}, "this is no assessment: "],
    [{ ...clean, outcome: "fine" }, {}, "this is no assessment: there is no outcome"],
    [{ ...clean, findings: [{ code: "tor" }] }, {}, "this is no assessment: there is no finding"],
    [{ ...clean, score: { inbound: 30 } }, {}, "this is no assessment: "],
    [{ outcome: "bad_key" }, {}, "connection.ip: the report names no address"],
    [clean, { ip: "192.0.2" }, "connection.ip: "],
    [clean, { client: "192.0.2" }, "connection.client: "],
    [clean, { direction: "up" }, "connection.direction: "],
    [clean, { port: 70_000 }, "connection.port: "],
    [clean, { path: 1 }, "connection.path: "],
    [clean, { prt: 1 }, "connection.prt: "],
  ]) {
    const said = outcome(() => policy.decide(assessment, connection), ({ name, message }) => `${name}: ${message}`);
    expect(`decide(${JSON.stringify(assessment)}, ${JSON.stringify(connection)})`, String(said).startsWith(`TypeError: ${problem}`) || said, true);
  }
  const changed = policy.assess(`{"status":200,"ip":"2001:DB8::1","score":{"inbound":"Safe"}}`);
  expect("before the change", policy.decide(changed).verdict, "allow");
  changed.findings.push({ code: "c2", detail: null });
  const { verdict, ip, link } = policy.decide(changed, { ip: "::ffff:192.0.2.7" });
  const page = "https://www.criminalip.io/asset/report/192.0.2.7";
  expect("after the change", [verdict, ip, link], ["deny", "::ffff:192.0.2.7", page]);
}

function outcome(what, say = ({ name }) => name) {
  try {
    return what();
  } catch (problem) {
    return say(problem);
  }
}

/** JSON in which the order of keys says nothing. */
function canonical(value) {
  const sorted = (_, part) =>
    part && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)))
      : part;
  return JSON.stringify(value, sorted);
}
