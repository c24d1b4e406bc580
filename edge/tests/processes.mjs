// Programs that tests start, listen to, and stop by their process id.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { connect } from "node:net";

/** How long anything may take before a test gives up. */
const PATIENCE = 120_000;

/** Waits until `what` gives something; tries again after each pause. */
export async function eventually(what) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await what();
    } catch (problem) {
      if (Date.now() > end) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Programs that run. None of them outlives the tests, also when those are broken off. */
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

export class Program {
  #child;
  #ended;
  /** It has ended, and all that it wrote was read: its code alone is there before. */
  #isSilent = false;
  lines = [];
  #wanted = new Set();

  /** Starts a program. What it writes to its standard output and error, and to descriptor 3, becomes `lines`. */
  constructor(command, args, options = {}) {
    this.#child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe", "pipe"] });
    running.add(this.#child);
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#ended.then(() => {
      this.#isSilent = true;
      running.delete(this.#child);
    });
    for (const stream of this.#child.stdio.slice(1)) {
      createInterface({ input: stream }).on("line", (line) => {
        this.lines.push(line);
        for (const look of this.#wanted) look();
      });
    }
    this.#ended.then(() => this.#wanted.forEach((look) => look()));
  }

  /** The first line for which `find` gives something, once it is there: gives that. */
  async line(find) {
    let look;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        let at = 0;
        const fail = (why) => reject(new Error(`${why}; it wrote:\n${this.lines.join("\n")}`));
        look = () => {
          for (; at < this.lines.length; at += 1) {
            const found = find(this.lines[at]);
            if (found) return resolve(found);
          }
          if (this.#isSilent) fail(`the program ended with ${this.#child.exitCode}`);
        };
        this.#wanted.add(look);
        timer = setTimeout(() => fail("the line did not come"), PATIENCE);
        look();
      });
    } finally {
      clearTimeout(timer);
      this.#wanted.delete(look);
    }
  }

  async ended() {
    await this.#ended;
    return this.#child.exitCode;
  }

  async stop() {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

/** Waits until nothing listens on this port any more. */
export const closed = (port) =>
  eventually(
    () =>
      new Promise((resolve, reject) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("connect", () => {
          socket.destroy();
          reject(new Error(`${port} is still open`));
        });
        socket.once("error", resolve);
      }),
  );
