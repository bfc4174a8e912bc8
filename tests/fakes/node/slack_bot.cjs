// A Slack bot made of Slack's own framework for JavaScript, over Socket Mode.
const { App } = require("@slack/bolt");
const { emit, serve } = require("./json_lines.cjs");

const silent = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel: () => "error", setName() {} };
const app = new App({
  token: process.env.FENNEL_SLACK__BOT_TOKEN,
  appToken: process.env.FENNEL_SLACK__APP_TOKEN,
  socketMode: true,
  clientOptions: { slackApiUrl: process.env.FENNEL_SLACK__API_URL, retryConfig: { retries: 0 } },
  logger: silent,
});

app.event("app_mention", async ({ event }) => emit("app_mention", { body: event }));
app.message(async ({ message }) => emit("message", { body: message }));
app.action("fb", async ({ ack, action }) => {
  await ack();
  emit("action", { action });
});
app.error(async (error) => emit("error", { message: error.message }));

serve({
  start: async () => void (await app.start()),
  stop: async () => void (await app.stop()),
  call: (method, body) => app.client.apiCall(method, body),
  stream: async (target, pieces, end) => {
    const stream = app.client.chatStream({ ...target, buffer_size: 4 });
    for (const piece of pieces) await stream.append({ markdown_text: piece });
    return stream.stop(end);
  },
});
