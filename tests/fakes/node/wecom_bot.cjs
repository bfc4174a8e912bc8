// WeCom bots made of Tencent's own client for the long connection. One process holds as many as a test opens.
const { WSClient } = require("@wecom/aibot-node-sdk");
const { emit, serve } = require("./json_lines.cjs");

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const MESSAGES = ["text", "mixed", "image", "voice"];
const EVENTS = ["enter_chat", "feedback_event", "template_card_event", "disconnected_event"];
const clients = {};

/** Connect a bot; `settings` are Fennel's, and `options` the client's. */
const open = (bot, settings, { ackTimeoutMs, ...options } = {}) => {
  const client = (clients[bot] = new WSClient({
    botId: settings.FENNEL_WECOM__BOT_ID,
    secret: settings.FENNEL_WECOM__SECRET,
    wsUrl: settings.FENNEL_WECOM__WS_URL,
    reconnectInterval: 50,
    maxAuthFailureAttempts: 2,
    logger: silent,
    ...options,
  }));
  if (ackTimeoutMs) client.wsManager.replyAckTimeout = ackTimeoutMs;
  const tell = (event, detail) => emit(event, { bot, ...detail });
  for (const name of ["connected", "authenticated"]) client.on(name, () => tell(name));
  client.on("disconnected", (reason) => tell("disconnected", { reason }));
  client.on("error", (error) => tell("error", { message: error.message, code: error.code }));
  for (const kind of MESSAGES) client.on(`message.${kind}`, (frame) => tell("message", { kind, frame }));
  for (const kind of EVENTS) client.on(`event.${kind}`, (frame) => tell(kind, { frame }));
  client.connect();
};

serve({
  open,
  close: (bot) => {
    clients[bot].disconnect();
    clients[bot].removeAllListeners();
    delete clients[bot];
  },
  use: (bot, method, ...args) => clients[bot][method](...args),
  isConnected: (bot) => clients[bot].isConnected,
  download: async (bot, url, key) => (await clients[bot].downloadFile(url, key)).buffer.toString("base64"),
});
