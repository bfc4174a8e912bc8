// A WeCom bot made of Tencent's own client for the long connection.
const { WSClient } = require("@wecom/aibot-node-sdk");
const { emit, serve } = require("./json_lines.cjs");

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const client = new WSClient({
  botId: process.env.FENNEL_WECOM__BOT_ID,
  secret: process.env.FENNEL_WECOM__SECRET,
  wsUrl: process.env.FENNEL_WECOM__WS_URL,
  heartbeatInterval: Number(process.env.HEARTBEAT_MS ?? 30000),
  reconnectInterval: 50,
  maxAuthFailureAttempts: 2,
  logger: silent,
});

for (const name of ["connected", "authenticated"]) client.on(name, () => emit(name));
client.on("disconnected", (reason) => emit("disconnected", { reason }));
client.on("error", (error) => emit("error", { message: error.message, code: error.code }));
for (const kind of ["text", "mixed", "image", "voice"]) {
  client.on(`message.${kind}`, (frame) => emit("message", { kind, frame }));
}
for (const kind of ["enter_chat", "feedback_event", "template_card_event", "disconnected_event"]) {
  client.on(`event.${kind}`, (frame) => emit(kind, { frame }));
}

serve({
  connect: () => void client.connect(),
  disconnect: () => client.disconnect(),
  replyStream: (...args) => client.replyStream(...args),
  replyStreamNonBlocking: (...args) => client.replyStreamNonBlocking(...args),
  replyWelcome: (...args) => client.replyWelcome(...args),
  updateTemplateCard: (...args) => client.updateTemplateCard(...args),
  reply: (...args) => client.reply(...args),
  sendMessage: (...args) => client.sendMessage(...args),
  downloadFile: async (...args) => (await client.downloadFile(...args)).buffer.toString("base64"),
});
