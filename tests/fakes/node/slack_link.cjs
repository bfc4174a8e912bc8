// Slack's own Socket Mode client for JavaScript by itself.
const { SocketModeClient } = require("@slack/socket-mode");
const { emit, serve } = require("./json_lines.cjs");

const silent = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel: () => "error", setName() {} };
const client = new SocketModeClient({
  appToken: process.env.FENNEL_SLACK__APP_TOKEN,
  clientOptions: { slackApiUrl: process.env.FENNEL_SLACK__API_URL },
  clientPingTimeout: Number(process.env.PING_MS ?? 5000),
  logger: silent,
});

for (const name of ["connected", "reconnecting", "disconnected"]) client.on(name, () => emit(name));
client.on("slack_event", async ({ ack, body, retry_num: retry, type }) => {
  emit("slack_event", { body, retry, type });
  await ack();
});

serve({
  start: async () => void (await client.start()),
  stop: async () => void (await client.disconnect()),
});
