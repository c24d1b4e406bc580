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
  }
  for (const [kind, expected] of [["public", true], ["special", false], ["none", "TypeError"]]) {
    for (const address of addresses[kind]) expect(address, outcome(() => isPublic(address)), expected);
  }
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
  expect("what is no assessment", outcome(() => new Policy().decide({}, {})), "TypeError");
  return wrong;
}

function outcome(what) {
  try {
    return what();
  } catch (problem) {
    return problem.name;
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
