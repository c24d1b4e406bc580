// Documents as bytes, and what is wrong with them as an error.

/** The bytes of what is given as bytes, as text, or as an object that JSON can write. */
export function bytesOf(given) {
  if (given instanceof Uint8Array) return given;
  if (given instanceof ArrayBuffer) return new Uint8Array(given);
  return new TextEncoder().encode(typeof given === "string" ? given : JSON.stringify(given));
}

export class ConfigError extends Error {
  constructor(mistakes) {
    const line = ({ path, message, code }) => `${path}${path && ": "}${message} [${code}]`;
    super(mistakes.map(line).join("\n"));
    this.name = "ConfigError";
    this.mistakes = mistakes;
  }
}

/** The core throws the mistakes of a document as JSON. */
export const sayMistakes = (problem) => (typeof problem === "string" ? new ConfigError(JSON.parse(problem)) : problem);
