// What callers give to be judged, checked before it crosses the border to the core as numbers and texts.

/** What is wrong with something given, and where. */
export const misuse = (path, problem) => new TypeError(`${path}: ${problem}`);

export const shown = (value) => JSON.stringify(value) ?? String(value);

const text = [(value) => typeof value === "string", "is no text"];

const CONNECTION = new Map(Object.entries({
  ip: text,
  port: [(value) => Number.isInteger(value) && value >= 0 && value <= 65_535, "is no port; ports are 0 to 65535"],
  product: text,
  direction: [(value) => value === "ingress" || value === "egress", "is neither ingress nor egress"],
  path: text,
  method: text,
  host: text,
  route: text,
  client: text,
  at: [(value) => !Number.isNaN(Number(value)), "is no time"],
}));

/** What may be left out is `undefined` or `null`. */
export function checkConnection(connection) {
  for (const key in connection) {
    const rule = CONNECTION.get(key);
    if (rule === undefined) throw misuse(`connection.${key}`, `there is no such key; there are ${[...CONNECTION.keys()].join(", ")}`);
    const value = connection[key];
    if (value !== undefined && value !== null && !rule[0](value)) throw misuse(`connection.${key}`, `${shown(value)} ${rule[1]}`);
  }
}

/** A country as the core takes it: its two letters, the first lowest; zero where it is unknown. */
export const lettersOf = (country) =>
  typeof country === "string" && country.length === 2 ? country.charCodeAt(0) | (country.charCodeAt(1) << 8) : 0;

const LEVELS = new Set([20, 40, 60, 80, 100]);

/** A level of an assessment; `null` where it is unknown. */
export function levelOf(level) {
  if (level === undefined || level === null) return null;
  if (!LEVELS.has(level)) throw misuse("this is no assessment", "its levels are 20, 40, 60, 80 or 100");
  return level;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** Whether the text is an IPv4 address, which has one form. Most are, and need not cross the border to be looked at. */
export const isIpv4 = (text) => IPV4.test(text);
