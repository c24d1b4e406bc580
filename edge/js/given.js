// What callers give to be judged, checked before it crosses the border to the core as numbers and texts.

/** What is wrong with something given, and where. */
export const misuse = (path, problem) => new TypeError(`${path}: ${problem}`);

export const shown = (value) => JSON.stringify(value) ?? String(value);

const KEYS = "ip, port, product, direction, path, method, host, route, client, at";

/** What may be left out is `undefined` or `null`. */
export function checkConnection(connection) {
  for (const key in connection) {
    const value = connection[key];
    const problem = problemOf(key, value);
    if (problem !== "" && (value ?? null) !== null) throw misuse(`connection.${key}`, `${shown(value)} ${problem}`);
  }
}

/** What is wrong with the value of this key; nothing where it is as it should be. */
function problemOf(key, value) {
  switch (key) {
    case "port":
      return Number.isInteger(value) && value >= 0 && value <= 65_535 ? "" : "is no port; ports are 0 to 65535";
    case "direction":
      return value === "ingress" || value === "egress" ? "" : "is neither ingress nor egress";
    case "at":
      return Number.isNaN(Number(value)) ? "is no time" : "";
    case "ip":
    case "product":
    case "path":
    case "method":
    case "host":
    case "route":
    case "client":
      return typeof value === "string" ? "" : "is no text";
    default:
      throw misuse(`connection.${key}`, `there is no such key; there are ${KEYS}`);
  }
}

/** A country as the core takes it: its two letters, the first lowest; zero where it is unknown. */
export const lettersOf = (country) =>
  typeof country === "string" && country.length === 2 ? country.charCodeAt(0) | (country.charCodeAt(1) << 8) : 0;

/** A level of an assessment; `null` where it is unknown. */
export function levelOf(level) {
  if (level === undefined || level === null) return null;
  if (level === 20 || level === 40 || level === 60 || level === 80 || level === 100) return level;
  throw misuse("this is no assessment", "its levels are 20, 40, 60, 80 or 100");
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** Whether the text is an IPv4 address, which has one form. Most are, and need not cross the border to be looked at. */
export const isIpv4 = (text) => IPV4.test(text);
