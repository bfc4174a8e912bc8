// How a script here talks with its test: see tests/fakes/node_peer.py.
const readline = require("node:readline");

const write = (message) => process.stdout.write(JSON.stringify(message) + "\n");

/** Tell the test that something happened. */
exports.emit = (event, detail = {}) => write({ event, ...detail });

/** Serve the test's calls with the functions in `calls`, until stdin ends. */
exports.serve = (calls) => {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const { id, do: name, args } = JSON.parse(line);
    try {
      write({ id, result: (await calls[name](...args)) ?? null });
    } catch (error) {
      write({ id, error: error instanceof Error ? error.message : JSON.stringify(error) });
    }
  });
  lines.on("close", () => process.exit(0));
};
