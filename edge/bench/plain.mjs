// What the package does, in plain JavaScript as one would write it by hand: JSON.parse, then the rules of the profile for
// clients, which are written into it. To compare with, nothing else; `speed.mjs` makes sure that both say and refuse the same
// before it measures.

const CODES = [
  "reputation", "tls.self_signed", "tls.expired", "exposure.directory_listing", "mining", "anonymity.vpn",
  "anonymity.anonymous_vpn", "anonymity.tor", "anonymity.proxy", "ssh.port", "ssh.openssh", "dns.port55", "c2", "malware",
  "phishing", "attack", "scanner", "darkweb", "ids", "honeypot", "vulnerable", "hosting", "cloud", "mobile",
];
const PUBLISHED = new Set(CODES.slice(0, 12));
const LEVELS = { safe: 20, low: 40, moderate: 60, dangerous: 80, critical: 100, 1: 20, 2: 40, 3: 60, 4: 80, 5: 100 };
const WORST = ["c2", "malware", "phishing"];
const CONTEXT = ["hosting", "cloud", "mobile"];
const ANONYMITY = ["anonymity.vpn", "anonymity.anonymous_vpn", "anonymity.tor", "anonymity.proxy"];
const FLAGS = {
  is_vpn: "anonymity.vpn", is_anonymous_vpn: "anonymity.anonymous_vpn", is_tor: "anonymity.tor", is_proxy: "anonymity.proxy",
  is_hosting: "hosting", is_cloud: "cloud", is_mobile: "mobile", is_darkweb: "darkweb", is_scanner: "scanner", is_snort: "ids",
};
const CATEGORIES = [
  [/^proxy(?![\p{L}\p{N}])/iu, "anonymity.proxy"], [/^vpn(?![\p{L}\p{N}])/iu, "anonymity.vpn"],
  [/^tor(?![\p{L}\p{N}])/iu, "anonymity.tor"], [/^anonymous[_ ]vpn(?![\p{L}\p{N}])/iu, "anonymity.anonymous_vpn"],
  [/^(attack|ddos)(?![\p{L}\p{N}])/iu, "attack"], [/^phishing(?![\p{L}\p{N}])/iu, "phishing"],
  [/^malware(?![\p{L}\p{N}])/iu, "malware"], [/^scanner(?![\p{L}\p{N}])/iu, "scanner"], [/^snort(?![\p{L}\p{N}])/iu, "ids"],
  [/^cloud service(?![\p{L}\p{N}])/iu, "cloud"], [/^hosting(?![\p{L}\p{N}])/iu, "hosting"],
];
const EXACT = /^(proxy|vpn|tor|anonymous[_ ]vpn)$/i;
const DAY = 86_400;

const seconds = (text) => {
  const at = typeof text === "string" ? Date.parse(`${text.replace(" ", "T")}${text.length === 10 || text.endsWith("Z") ? "" : "Z"}`) : NaN;
  return Number.isNaN(at) ? undefined : Math.floor(at / 1000);
};

/** Findings with their details, in the order of findings and without repetition. */
class Marks {
  #found = new Map();

  add(code, detail) {
    const printable = detail.replace(/\p{Cc}/gu, "\ufffd");
    this.#found.set(`${String(CODES.indexOf(code)).padStart(2, "0")}${printable}`, { code, detail: printable });
  }

  append(other, only) {
    for (const [key, found] of other.#found) if (!only || found.code === only) this.#found.set(key, found);
  }

  get list() {
    return [...this.#found.keys()].sort().map((key) => this.#found.get(key));
  }
}

export function assess(report, at) {
  const now = Math.floor(at / 1000);
  let json;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(report));
  } catch {
    return { outcome: "malformed" };
  }
  const { score: levels, status, issues = {}, ip } = json;
  const level = (value) => LEVELS[String(value).toLowerCase()] ?? null;
  const score = { inbound: level(levels?.inbound), outbound: level(levels?.outbound) };
  if (status !== 200 || (score.inbound === null && score.outbound === null)) return { outcome: "unknown" };
  const current = new Marks();
  const published = new Marks();
  for (const [name, value] of Object.entries(score)) {
    if (value < 80) continue;
    for (const marks of [current, published]) marks.add("reputation", `${name} ${value === 80 ? "Dangerous" : "Critical"}`);
  }
  for (const [name, code] of Object.entries(FLAGS)) {
    if (issues[name] !== true) continue;
    current.add(code, name);
    if (PUBLISHED.has(code)) published.add(code, name);
  }
  const recent = (seen) => seen !== undefined && now - seen <= 60 * DAY;
  for (const { type, confirmed_time } of json.ip_category?.data ?? []) {
    const [, code] = CATEGORIES.find(([words]) => words.test(type)) ?? [];
    if (!code) continue;
    if (EXACT.test(type)) published.add(code, `category ${type}`);
    if (recent(seconds(confirmed_time))) current.add(code, `category ${type}`);
  }
  for (const { classification, message, confirmed_time } of json.ids?.data ?? []) {
    if (!recent(seconds(confirmed_time))) continue;
    const detail = message ?? classification ?? "intrusion detection record";
    current.add("ids", detail);
    if (/^botcc$/i.test(classification) || /cnc server/i.test(message)) current.add("c2", detail);
  }
  for (const { confirmed_time, log_date } of json.honeypot?.data ?? []) {
    if (recent(seconds(confirmed_time) ?? seconds(log_date))) current.add("honeypot", "honeypot record");
  }
  const vulnerabilities = json.vulnerability?.count || json.vulnerability?.data?.length;
  if (vulnerabilities > 0) current.add("vulnerable", `${vulnerabilities} known vulnerabilities`);
  for (const { seen, marks } of ports(json.port?.data ?? [], published, now).values()) {
    published.append(marks, "tls.expired");
    if (recent(seen)) current.append(marks);
  }
  const owners = json.whois?.data ?? [];
  const findings = current.list;
  const codes = new Set(findings.map(({ code }) => code));
  const highest = Math.max(score.inbound, score.outbound);
  const isWorst = highest >= 80 || WORST.some((code) => codes.has(code));
  const isOdd = highest >= 60 || [...codes].some((code) => !CONTEXT.includes(code));
  return {
    outcome: "assessed",
    ip: ip ?? null,
    learned: now,
    class: isWorst ? "malicious" : isOdd ? "suspicious" : "clean",
    score,
    findings,
    published: published.list,
    asn: owners.find(({ as_no }) => as_no > 0)?.as_no ?? null,
    country: owners.find(({ org_country_code }) => org_country_code)?.org_country_code.toUpperCase() ?? null,
    anomalies: 0,
  };
}

/** The newest record of each port. */
function ports(records, published, now) {
  const newest = new Map();
  for (const record of records) {
    const { open_port_no: number, socket, confirmed_time, app_name, app_version, tags, ssl_info_raw, banner } = record;
    const seen = seconds(confirmed_time);
    const label = (what) => `port ${number}${socket ? `/${socket.toLowerCase()}` : ""}: ${what}`.trimEnd();
    const marks = new Marks();
    const both = (code, detail) => [marks, published].forEach((each) => each.add(code, detail));
    if (/openssh/i.test(app_name)) both("ssh.openssh", label(`${app_name} ${app_version ?? ""}`));
    for (const tag of tags ?? []) {
      if (/^directory[ -]listing$/i.test(tag)) both("exposure.directory_listing", label(tag));
      else if (/^mining$/i.test(tag)) both("mining", label(tag));
      else if (/^(c2|cobalt strike|c2_.*)$/i.test(tag)) marks.add("c2", label(tag));
      else if (/^malicious$/i.test(tag)) marks.add("malware", label(tag));
    }
    certificate(ssl_info_raw, banner, seen, now, label, marks, published);
    if (record.is_vulnerability === true) marks.add("vulnerable", label("known vulnerabilities"));
    const key = `${number}/${socket}`;
    const known = newest.get(key);
    if (!known || known.seen < seen) newest.set(key, { seen, marks });
    else if (known.seen === seen) known.marks.append(marks);
  }
  return newest;
}

function certificate(tls, banner, seen, now, label, marks, published) {
  const start = tls ? 0 : (banner?.indexOf("TLS Certificate") ?? -1);
  const text = tls ?? (start < 0 ? undefined : banner.slice(start));
  if (text === undefined) return;
  const issuer = text.match(/^\s*Issuer Dn:(.*)$/m)?.[1].trim();
  const subject = text.match(/^\s*Subject Dn:(.*)$/m)?.[1].trim();
  const end = seconds(text.match(/^\s*Validity:[^]*?^\s*End:(.*)$/m)?.[1].trim());
  if ((issuer && issuer === subject) || /self signed:\s*true/i.test(text)) {
    for (const each of [marks, published]) each.add("tls.self_signed", label("issued by its own subject"));
  }
  if (end !== undefined) {
    if (end < now) marks.add("tls.expired", label("past its end"));
    if (end < seen) published.add("tls.expired", label("past its end"));
  }
  if (!tls) return;
  if (/self-signed|self signed(?!:\s*false)/i.test(text)) published.add("tls.self_signed", label("the text says self-signed"));
  if (/expired/i.test(text)) published.add("tls.expired", label("the text says expired"));
}

const RULES = [
  ["score-80", "deny", (codes, level) => level >= 80],
  ["c2", "deny", (codes) => codes.has("c2")],
  ["malware", "deny", (codes) => codes.has("malware")],
  ["attack", "deny", (codes) => codes.has("attack")],
  ["anonymity", "tag", (codes) => ANONYMITY.some((code) => codes.has(code))],
  ["scanner", "tag", (codes) => codes.has("scanner")],
  ["score-60", "tag", (codes, level) => level >= 60],
];

const PAGES = "https://www.criminalip.io/asset/report/";
const KNOWN = new Set(CODES);
const FAILURES = [
  "no_credit", "concurrency_refused", "bad_key", "invalid_address", "rate_limited", "server_error", "malformed", "unknown",
];

const refuse = (path, problem) => {
  throw new TypeError(`${path}: ${problem}`);
};

/** The same as `decide`, of what is as it should be: nothing that is given is looked at before it is used. */
export function decideUnchecked({ ip, score, findings, outcome }, { port = null }) {
  const codes = new Set(findings.map(({ code }) => code));
  const [rule, verdict] = RULES.find(([, , holds]) => holds(codes, score.inbound)) ?? [null, "allow"];
  const link = PAGES + ip;
  const suspicious = verdict !== "allow";
  return { ip, port, suspicious, verdict, rule, profile: "ingress", direction: "ingress", score, findings, outcome, link };
}

export function decide(assessment, connection) {
  check(connection);
  const outcome = assessment?.outcome;
  if (outcome !== "assessed" && !FAILURES.includes(outcome)) refuse("this is no assessment", `there is no outcome ${outcome}`);
  const direction = connection.direction ?? "ingress";
  const port = connection.port ?? null;
  const given = connection.ip ?? assessment.ip;
  if (typeof given !== "string") refuse("connection.ip", "there is none");
  if (connection.client) written(connection.client, "connection.client");
  const ip = written(given, "connection.ip");
  const link = PAGES + (ip.startsWith("::ffff:") ? ip.slice(7) : ip);
  const isRead = outcome === "assessed";
  const inbound = levelOf(isRead ? assessment.score?.inbound : null);
  const outbound = levelOf(isRead ? assessment.score?.outbound : null);
  const findings = [];
  const codes = new Set();
  const add = (code, detail) => {
    codes.add(code);
    findings.push({ code, detail });
  };
  let [rule, verdict, suspicious] = [null, null, null];
  if (isRead) {
    for (const { code, detail = null } of assessment.findings ?? []) {
      if (!KNOWN.has(code)) refuse("this is no assessment", `there is no finding ${code}`);
      add(code, detail);
    }
    if (direction === "egress" && port !== null) {
      if (port === 22) add("ssh.port", "destination port 22");
      else if (/openssh/i.test(connection.product)) add("ssh.openssh", `product hint on port ${port}`);
      if (port === 55) add("dns.port55", "destination port 55");
    }
    const level = direction === "egress" ? outbound : inbound;
    [rule, verdict] = RULES.find(([, , holds]) => holds(codes, level)) ?? [null, "allow"];
    suspicious = verdict !== "allow";
  }
  return { ip, port, suspicious, verdict, rule, profile: "ingress", direction, score: { inbound, outbound }, findings, outcome, link };
}

function levelOf(level = null) {
  const isKnown = level === null || level === 20 || level === 40 || level === 60 || level === 80 || level === 100;
  return isKnown ? level : refuse("this is no assessment", "there is no such level");
}

function check(connection) {
  for (const key in connection) {
    const value = connection[key];
    switch (key) {
      case "port":
        if (value != null && !(Number.isInteger(value) && value >= 0 && value <= 65_535)) refuse("connection.port", value);
        break;
      case "direction":
        if (value != null && value !== "ingress" && value !== "egress") refuse("connection.direction", value);
        break;
      case "at":
        if (value != null && Number.isNaN(Number(value))) refuse("connection.at", value);
        break;
      case "ip":
      case "product":
      case "path":
      case "method":
      case "host":
      case "route":
      case "client":
        if (value != null && typeof value !== "string") refuse(`connection.${key}`, value);
        break;
      default:
        refuse(`connection.${key}`, "there is no such key");
    }
  }
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const MAPPED = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/;

/** The one form of an address. */
function written(text, path) {
  if (IPV4.test(text)) return text;
  const url = `http://[${text}]/`;
  if (!/^[0-9a-f:.]+$/i.test(text) || !URL.canParse(url)) refuse(path, `${text} is no address`);
  const ip = new URL(url).hostname.slice(1, -1);
  const octets = ip.match(MAPPED)?.slice(1).flatMap((part) => [parseInt(part, 16) >> 8, parseInt(part, 16) & 255]);
  return octets ? `::ffff:${octets.join(".")}` : ip;
}
